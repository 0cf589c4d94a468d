"""The page in a real Airflow: signed in, from the navigation, in its theme; a trial from the button to the approval."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(1_200)]

BIOMEM = str(Path(sys.executable).parent / "biomem")
PATIENCE_S = 600


def biomem(home, *arguments):
    done = subprocess.run(
        [BIOMEM, *arguments, "--home", str(home)], capture_output=True, text=True, timeout=900, check=False, env=ENV
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


# Airflow's settings of this test session are not those of a home
ENV = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """A home with forty memories of a January, and its Airflow."""
    home = tmp_path_factory.mktemp("home")
    rows = [
        f"m{n},{'ada' if n % 4 else 'milo'},2026-01-{1 + n % 28:02d}T{8 + n % 10:02d}:00:00Z,Leyla number {n} rides on"
        for n in range(40)
    ]
    csv = home / "life.csv"
    csv.write_text("\n".join(["id,agent,date,text", *rows]) + "\n")
    biomem(home, "load", str(csv))
    biomem(home, "run", "short_term_memory", "consolidation", "nightly_decay", "--as-of", "2026-02-10T00:00:00Z")
    try:
        biomem(home, "up", "--port", "18088")
        found = json.loads(biomem(home, "status", "--json"))["airflow"]
        password = json.loads(Path(found["password_file"]).read_text())[found["user"]]
        with httpx.Client(base_url=found["url"], timeout=60, trust_env=False) as client:
            answer = client.post("/auth/token", json={"username": found["user"], "password": password})
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield home, found["url"], found["user"], password, client
    finally:
        biomem(home, "down")


def patiently(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(2)
    return found


def test_somebody_signs_in_finds_the_page_tries_a_parameter_and_has_it_approved(airflow, browser):
    home, url, user, password, client = airflow
    context = browser.new_context(viewport={"width": 1360, "height": 900}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(60_000)
    assert context.request.get(f"{url}/biomem/").status == 401

    page.goto(url)
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()
    page.get_by_role("link", name="Memory").first.click()
    frame = page.frame_locator("iframe")
    frame.locator("main[aria-busy=false]").wait_for()
    assert frame.locator("html").get_attribute("data-theme") == "light"
    page.evaluate("document.documentElement.className = 'dark'")
    frame.locator("html[data-theme=dark]").wait_for()
    page.evaluate("document.documentElement.className = 'light'")

    frame.get_by_role("link", name="What if").click()
    frame.get_by_role("button", name="Forget less").click()
    frame.get_by_text("Being computed").wait_for()
    run = patiently(lambda: client.get("/api/v2/dags/what_if/dagRuns").json()["dag_runs"])[0]
    assert run["triggering_user_name"] == user
    path = f"/api/v2/dags/what_if/dagRuns/{run['dag_run_id']}"
    patiently(lambda: client.get(f"{path}/taskInstances/approve").json()["state"] in ("awaiting_input", "deferred"))
    frame.get_by_text("undecided").first.wait_for()
    assert "forgetting threshold: 0.6 → 0.5" in frame.locator("main").inner_text()
    link = client.get(f"{path}/taskInstances/try_parameters/links").json()["extra_links"]["Memory"]
    page.goto(link)
    page.frame_locator("iframe").get_by_text("undecided").first.wait_for()

    answer = client.patch(
        f"{path}/taskInstances/approve/-1/hitlDetails", json={"chosen_options": ["Approve"], "params_input": {}}
    )
    assert answer.status_code == 200, answer.text
    patiently(lambda: client.get(path).json()["state"] in ("success", "failed"))
    assert client.get(path).json()["state"] == "success"
    parameters = {one["name"]: one for one in json.loads(biomem(home, "params", "--json"))}
    assert parameters["forgetting_threshold"]["value"] == 0.5
    (change,) = json.loads(biomem(home, "params", "--history", "--json"))
    assert change["by"] == user
    events = client.get("/api/v2/eventLogs", params={"event": "memory.what_if"}).json()["event_logs"]
    assert events[0]["owner"] == user
    context.close()
