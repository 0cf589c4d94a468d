"""The page as a person meets it: each view, dark and light, on a phone and a desk, by keyboard, and when it fails."""

from __future__ import annotations

import re

import psycopg
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

DESK, PHONE, WALL = {"width": 1280, "height": 860}, {"width": 360, "height": 740}, {"width": 3840, "height": 2160}
VIEWS = {
    "now": "#/now",
    "windows": "#/windows?agent=ada",
    "forgetting": "#/forgetting?agent=ada",
    "network": "#/network?agent=ada",
    "why": "#/why?agent=ada&q=kettle&id=a1",
    "what_if": "#/what_if",
    "health": "#/health",
}


class Troubles(list):
    """What the browser complained of: errors of scripts, of the content security policy, of requests."""

    def watch(self, page):
        page.on("pageerror", lambda error: self.append(str(error)))
        page.on("console", lambda message: self.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: self.append(dialog.message))
        return page


@pytest.fixture
def troubles():
    return Troubles()


@pytest.fixture
def visit(browser, site, troubles):
    """Open the page somewhere, and wait until it has drawn."""
    contexts = []

    def go(where="", *, theme="light", size=DESK, zone="Europe/Amsterdam"):
        context = browser.new_context(viewport=size, color_scheme=theme, timezone_id=zone, locale="en-GB")
        contexts.append(context)
        page = troubles.watch(context.new_page())
        page.goto(site.url + where)
        settled(page)
        return page

    yield go
    for context in contexts:
        context.close()


def settled(page):
    page.wait_for_selector("main[aria-busy=false]", timeout=20_000)
    return page


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_and_hinders_nobody(pg, visit, troubles, view, theme, size):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(VIEWS[view], theme=theme, size=size)
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.evaluate("[...document.querySelectorAll('.chart')].every((chart) => chart.querySelector('canvas'))")
    assert page.locator("#tabs a[aria-current=page]").count() == 1
    found = Axe().run(page).response["violations"]
    serious = [
        (one["id"], [node["target"] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert troubles == []


def test_a_view_fills_a_wall(pg, visit):
    page = visit(VIEWS["now"], size=WALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= WALL["width"]
    assert page.locator(".slots").first.bounding_box()["width"] > 2_000


def test_the_text_of_a_memory_is_never_html(pg, visit, troubles):
    for view in ("now", "why", "forgetting", "windows", "network"):
        page = visit(VIEWS[view])
        page.wait_for_timeout(300)
        assert "taken" not in page.title()
        if view in ("now", "why", "forgetting", "windows"):
            assert "<script>document.title" in page.inner_text("main")
        assert page.evaluate("[...document.querySelectorAll('main img, main script')].length") == 0
    assert troubles == []


def test_every_slot_that_is_shown_stands_in_working_memory(pg, visit):
    page = visit(VIEWS["now"])
    slots = {
        section.locator("h2").inner_text(): section.locator(".slot:not(.free) .text").all_inner_texts()
        for section in page.locator("section.agent").all()
    }
    held = pg.execute(
        "select w.agent_id, array_agg(m.content order by w.rank) from memory.working_memory w "
        "join memory.memories m using (memory_id) group by 1"
    )
    assert slots == dict(held.fetchall())
    assert page.locator(".slot.free").count() == 2 + 6


def test_every_number_of_health_is_that_of_sql(pg, visit):
    page = visit(VIEWS["health"])
    tiles = page.locator(".tile").all_inner_texts()
    (live,) = pg.execute("select sum(value)::int from memory.health where metric = 'live'").fetchone()
    assert tiles[0].splitlines()[:2] == [str(live), "live memories"]
    assert tiles[4].splitlines()[:2] == ["6", "forgotten in the last night of changes"]
    durations = page.locator("section", has=page.get_by_role("heading", name="How long runs take"))
    assert durations.locator("tbody td.number").all_inner_texts() == ["10 secs", "20 secs", "30 secs", "3", "0"]
    failures = page.locator("section", has=page.get_by_role("heading", name="Failed tasks and data tests"))
    assert "data tests" in failures.locator("tbody").inner_text()
    assert failures.locator("tbody a").get_attribute("href") == "/dags/nightly_decay/runs/r0/tasks/test"
    last = pg.execute("select run_id, rows_written from memory.runs order by sequence desc limit 1").fetchone()
    row = page.locator("table", has_text="written").locator("tbody tr").first
    assert row.locator("td.number").first.inner_text() == str(last[1])
    assert last[0] in page.locator("a", has_text="short_term_memory").nth(1).get_attribute("href").replace("%20", " ")


def test_times_are_the_viewers_own_and_utc_on_hover(pg, visit):
    page = visit(VIEWS["now"], zone="Asia/Tokyo")
    shown = page.locator("#clock time").first
    assert "10 Jan 2026, 09:00:00" in shown.inner_text()
    assert shown.get_attribute("title") == "2026-01-10 00:00:00 UTC"


def test_a_trial_shows_who_would_fare_differently_and_at_what_price(pg, visit, troubles):
    page = visit(VIEWS["what_if"])
    text = page.inner_text("main")
    assert "4 would still be there" in text
    assert "The kettle number 9 is blue" in text
    assert "1 bounds that are met now would be missed" in text
    assert "undecided" in text
    table = page.locator("details.table", has_text="Counts").first
    table.locator("summary").click()
    assert table.locator("tbody tr").nth(0).locator("td").all_inner_texts() == ["live", "54", "58"]
    assert page.locator("a", has_text="Its run").get_attribute("href").endswith("/dags/what_if/runs/manual__2")
    page.locator("td a").nth(1).click()
    page.wait_for_url(re.compile("run=manual__1"))
    assert troubles == []


def test_who_may_only_look_is_told_so_and_forgetting_asks_why_first(pg, visit, site):
    page = visit(VIEWS["why"])
    asked = []
    page.route("**/api/forget", lambda route: (asked.append(route.request), route.fulfill(status=403, json={})))
    page.get_by_role("button", name="Forget for good").click()
    reason = page.locator("#reason")
    assert reason.evaluate("field => field === document.activeElement")
    reason.press("Enter")
    assert asked == [], "no reason was given"
    reason.fill("asked to")
    reason.press("Enter")
    page.wait_for_selector("text=You may look at this, but not change it")
    (request,) = asked
    assert request.post_data_json == {"agent": "ada", "id": "a1", "reason": "asked to"}
    assert request.headers["x-biomem-request"] == "page"


def test_a_forgotten_memory_can_be_restored_and_one_in_mind_rehearsed(pg, visit):
    page = visit("#/why?agent=ada&id=a9")
    assert page.get_by_role("button", name="Restore").count() == 1
    assert page.get_by_role("button", name="Rehearse").count() == 0
    page = visit("#/why?agent=ada&id=a1")
    page.route("**/api/rehearse", lambda route: route.fulfill(json={"dag_id": "short_term_memory"}))
    page.get_by_role("button", name="Rehearse").click()
    page.wait_for_selector("text=the next window takes it up")
    assert page.get_by_role("button", name="Rehearse").is_disabled()


def test_dbts_own_page_runs_its_own_scripts_and_knows_the_models(pg, visit, site, browser, troubles):
    page = troubles.watch(browser.new_page())
    page.goto(site.url + "docs/#!/model/model.biological_memory.memory_traces")
    page.wait_for_selector("text=memory_traces")
    page.wait_for_selector("text=stability_days")
    assert [text for text in troubles if "script" in text.lower()] == []
    page.close()


def test_why_something_was_forgotten_stands_beside_what_is_next(pg, visit, troubles):
    page = visit(VIEWS["forgetting"])
    last = page.locator("section", has=page.get_by_role("heading", name="Forgotten last, and why"))
    assert "retention .590 < .600" in last.inner_text()
    last.locator("a", has_text="The kettle number 9").click()
    page.wait_for_selector("main h2:has-text('a9')")
    assert troubles == []


def test_late_and_missed_windows_are_counted_and_a_window_opens(pg, visit):
    page = visit(VIEWS["windows"])
    assert "1 late" in page.inner_text("main")
    assert "1 without a run" in page.inner_text("main")
    page.locator("details.table summary").click()
    page.locator("td button").nth(3).click()
    page.wait_for_selector("main ul.list li")
    assert "window=" in page.url
    assert "/dags/short_term_memory/runs/" in page.locator("a", has_text="its DAG run").get_attribute("href")


def test_a_link_leads_back_to_the_same_picture(pg, visit):
    page = visit("#/forgetting?agent=ada&search=number+60")
    assert page.locator(".list li:has(input) .clamp").all_inner_texts() == ["The kettle number 60 is blue"]
    again = visit(page.url.split("/biomem/")[1])
    assert again.inner_text(".list li:has(input) .clamp") == "The kettle number 60 is blue"


def test_everything_can_be_done_by_keyboard(pg, visit):
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the view"
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("#/forgetting"))
    page.locator("#agent").focus()
    page.wait_for_selector("#agents li")
    page.keyboard.type("ad")
    page.wait_for_selector("#agents li:nth-child(2):last-child")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("agent=ada"))
    page.wait_for_selector("main input[type=checkbox]")
    box = page.locator("main input[type=checkbox]").nth(4)
    box.focus()
    page.keyboard.press("Space")
    page.wait_for_url(re.compile("ids="))
    assert "ids=" in page.url
    assert box.is_checked()


def test_the_theme_follows_the_one_around_it_at_once(pg, site, browser, troubles):
    page = troubles.watch(browser.new_page())
    page.goto(site.url.replace("/biomem/", "/host"))
    frame = page.frame_locator("iframe")
    frame.locator("main[aria-busy=false]").wait_for()
    assert frame.locator("html").get_attribute("data-theme") == "light"
    assert frame.locator("#theme").is_hidden()
    page.evaluate("document.documentElement.className = 'dark'")
    frame.locator("html[data-theme=dark]").wait_for()
    page.close()


def test_a_page_by_itself_has_a_switch_that_it_remembers(pg, visit):
    page = visit()
    page.click("#theme")
    assert page.get_attribute("html", "data-theme") == "dark"
    settled(page).reload()
    assert page.get_attribute("html", "data-theme") == "dark"


def test_before_the_first_run_the_page_says_what_to_do(visit):
    for view in ("now", "windows", "health", "forgetting"):
        page = visit(VIEWS[view])
        assert "No memories yet" in page.inner_text("main")
        assert page.locator("main a").get_attribute("href") == "/dags/short_term_memory"


def test_a_database_that_is_away_is_told_and_found_again(pg, site, visit):
    right, site.dsn = site.dsn, psycopg.conninfo.make_conninfo("", host="127.0.0.1", port=1, dbname="gone")
    page = visit()
    assert "127.0.0.1:1" in page.inner_text("main")
    site.dsn = right
    page.click("text=Try again")
    page.wait_for_selector(".slot")


def test_a_picture_that_cannot_be_renewed_says_that_it_is_old(pg, site, browser, troubles):
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()
    page.goto(site.url)
    settled(page)
    right, site.dsn = site.dsn, psycopg.conninfo.make_conninfo("", host="127.0.0.1", port=1, dbname="gone")
    page.clock.run_for(16_000)
    page.wait_for_selector("#stale")
    assert page.locator(".slot").count() > 0
    site.dsn = right
    pg.execute("update memory.working_memory set rank = 9 where agent_id = 'milo'")
    page.clock.run_for(16_000)
    page.wait_for_selector("#stale", state="detached")
    assert "9" in page.locator(".rank").all_inner_texts()
    context.close()
