"""What the page shows is what stands in schema `memory`: compared with SQL, under load, and when there is nothing."""

from __future__ import annotations

import threading

import psycopg
import pytest
from fastapi.testclient import TestClient

VIEWS = ["now", "windows", "forgetting", "network", "recall", "story", "health"]
CHOICES = {
    "forgetting": {"agent": "ada"},
    "network": {"agent": "ada"},
    "recall": {"agent": "ada", "question": "kettle"},
    "story": {"agent": "ada", "id": "a1"},
}


def test_what_the_last_nights_have_forgotten_is_told_with_its_numbers(ask, pg):
    (forgotten,) = ask("forgetting", agent="ada")["forgotten"]
    assert (forgotten["memory_id"], forgotten["state"]) == ("a9", "forgotten")
    assert "retention .590 < .600" in forgotten["words"]
    assert ask("forgetting", agent="milo")["forgotten"] == []


def test_a_trial_is_shown_whole_and_one_that_is_not_there_yet_is_said(ask, pg):
    answer = ask("what-if")
    assert [one["run_id"] for one in answer["trials"]] == ["manual__2", "manual__1"]
    assert answer["trial"]["run_id"] == "manual__2"
    shown = [(one["memory_id"], one["difference"], one["content"]) for one in answer["trial"]["memories"]]
    told = "select t.memory_id, t.difference, m.content from memory.what_if_memories t join memory.memories m "
    assert shown == pg.execute(f"{told} using (memory_id) where t.run_id = 'manual__2' order by place").fetchall()
    assert ask("what-if", run="manual__1")["trial"]["memories"] == []
    assert "there is no result of" in ask("what-if", 404, run="manual__3")["detail"]


def test_the_slots_are_those_of_working_memory(pg, ask):
    found = ask("now")
    shown = [
        (agent["agent_id"], slot["rank"], slot["memory_id"]) for agent in found["agents"] for slot in agent["slots"]
    ]
    assert shown == pg.execute("select agent_id, rank, memory_id from memory.working_memory order by 1, 2").fetchall()
    assert found["capacity"] == 7
    # ACT-R: even odds at the threshold, and ada's fifth memory lies exactly there
    assert found["agents"][0]["slots"][4]["chance"] == pytest.approx(0.5)
    assert [agent["agent_id"] for agent in ask("now", agent="milo")["agents"]] == ["milo"]


def test_a_thousand_agents_come_page_by_page_and_are_found_by_name(pg, ask):
    pg.execute(
        "insert into memory.memories "
        "(memory_id, agent_id, occurred_at, state, is_long_term, run_id, params_hash, as_of) "
        "select 'x' || n, 'agent-' || lpad(n::text, 4, '0'), now(), 'live', false, 'r', 'p', now() "
        "from generate_series(1, 1000) n"
    )
    pg.execute(
        "insert into memory.working_memory select agent_id, 1, memory_id, 0, occurred_at, 'r', 'p', now() "
        "from memory.memories where agent_id like 'agent-%'"
    )
    first, last = ask("now"), ask("now", page=83)
    assert (first["total"], len(first["agents"]), len(last["agents"])) == (1002, 12, 6)
    some, named = ask("agents"), ask("agents", search="T-0777")
    assert (some["agents"], some["has_more"]) == (["ada", *(f"agent-{n:04}" for n in range(1, 50))], True)
    assert (named["agents"], named["has_more"]) == (["agent-0777"], False)


def test_when_nothing_is_in_mind_what_was_last_is_told(pg, ask):
    assert ask("now")["last"] == []
    assert ask("agents")["suggested"] == "ada"
    pg.execute("insert into memory.working_memory select 'milo', 2, 'm1', -1, now(), 'r1', 'p', now()")
    assert ask("agents")["suggested"] == "milo"
    pg.execute("delete from memory.working_memory")
    answer = ask("now")
    assert [(one["agent_id"], one["window_end"]) for one in answer["last"]] == [("ada", "2026-01-10T00:00:00Z")]
    assert [memory["memory_id"] for memory in answer["last"][0]["memories"]] == ["a1", "a2", "a3"]
    assert not answer["is_empty"]
    assert ask("agents")["suggested"] == "ada"
    assert ask("now", agent="milo")["last"] == []


def test_a_window_tells_what_was_accessed_and_which_runs_were_late_or_missing(pg, ask):
    found = ask("windows", agent="ada")
    assert len(found["windows"]) == 60
    assert {(row["accessed"], row["together"], row["carried"]) for row in found["windows"]} == {(1, 3, 2)}
    lags = {row["run_id"]: row["lag_s"] for row in found["runs"]}
    assert (lags["run 50"], lags["run 51"], "run 40" in lags) == (95, 8, False)
    memories = ask("windows/memories", agent="ada", start=found["windows"][0]["window_start"])["memories"]
    assert [(row["memory_id"], row["is_accessed"]) for row in memories] == [("a1", True), ("a2", False), ("a3", False)]
    assert ask("windows", agent="milo")["windows"] == []


def test_the_next_to_be_forgotten_come_first_with_the_day_on_which_they_fall(pg, ask):
    found = ask("forgetting", agent="ada")
    assert (found["total"], len(found["memories"])) == (54, 25)
    falls = [memory["falls_at"] for memory in found["memories"]]
    assert falls == sorted(falls)
    one = found["memories"][3]
    (retained,) = pg.execute(
        "select memory.retention(%s, %s, %s)", [one["stability_days"], one["last_accessed_at"], one["falls_at"]]
    ).fetchone()
    assert retained == pytest.approx(found["threshold"], rel=1e-6)
    assert {memory["memory_id"] for memory in ask("forgetting", agent="ada", search="NUMBER 60")["memories"]} == {"a60"}
    curves = ask("forgetting/curves", agent="ada", id=["a1", "a9", "m1"])
    assert [memory["memory_id"] for memory in curves["memories"]] == ["a1", "a9"]
    assert {(mark["memory_id"], mark["what"]) for mark in curves["marks"]} == {
        ("a1", "retrieve"),
        ("a1", "replay"),
        ("a9", "demote"),
    }


def test_the_shipped_curves_lie_near_what_people_retained(ask):
    for study in ask("forgetting/people")["studies"]:
        for seconds, observed in study["observed"]:
            _, nearest = min(study["model"], key=lambda point, at=seconds: abs(point[0] - at))
            assert nearest == pytest.approx(observed, abs=0.2), study["name"]


def test_the_network_shows_the_strongest_first_and_a_neighbourhood_when_asked(pg, ask):
    found = ask("network", agent="ada", limit=10)
    assert (found["total"], len(found["edges"])) == (60, 10)
    strengths = [edge["strength"] for edge in found["edges"]]
    assert strengths == [
        row[0] for row in pg.execute("select strength from memory.semantic_network order by 1 desc limit 10")
    ]
    near = ask("network", agent="ada", concept="kettle 3")
    assert {edge["target_id"] for edge in near["edges"]} == {"kettle 3"}
    assert {node["kind"] for node in near["nodes"]} == {"memory", "term"}
    assert ask("network", agent="ada", strength=0.9)["edges"] == [
        edge for edge in ask("network", agent="ada")["edges"] if edge["strength"] >= 0.9
    ]
    assert found["gists"][0]["terms"] == ["kettle 1", "kettle 2"]


def test_looking_for_a_memory_strengthens_nothing(pg, ask):
    before = pg.execute("select count(*) from memory.access_log").fetchone()
    found = ask("recall", agent="ada", question="which kettle is number 42?")["memories"]
    assert found[0]["memory_id"] == "a42"
    assert pg.execute("select count(*) from memory.access_log").fetchone() == before


def test_a_story_is_told_to_its_own_agent_only(pg, ask):
    told = ask("story", agent="ada", id="a1")
    assert [event["what"] for event in told["story"]] == ["encode", "retrieve", "replay"]
    assert "no memory" in ask("story", status=404, agent="milo", id="a1")["detail"]


def test_health_counts_what_the_night_counted(pg, ask):
    layers = {(row["layer"], row["metric"]): row["value"] for row in ask("health")["layers"]}
    assert layers == {("long_term_memory", "live"): 55, ("long_term_memory", "forgotten"): 6}
    found = ask("health", agent="ada")
    assert [row["value"] for row in found["layers"]] == [6, 54]
    assert [(row["metric"], row["value"]) for row in found["nights"]] == [("demoted", 6)]
    assert [rhythm["is_late"] for rhythm in found["clock"]] == [True, None, None, None]


@pytest.mark.parametrize("view", VIEWS)
def test_without_a_publication_each_view_says_so(dsn, ask, view):
    found = ask(view, status=503, **CHOICES.get(view, {}))
    assert found["kind"] == "empty"
    assert "short_term_memory" in found["error"]


@pytest.mark.parametrize("view", ["now", "windows", "forgetting", "network", "recall", "health"])
def test_an_empty_memory_is_no_error(dsn, ask, view):
    from biomem.warehouse.target_schema import ensure_target_schema

    ensure_target_schema(dsn)
    assert ask(view, **CHOICES.get(view, {})).get("is_empty") in (None, True)


def test_a_database_that_is_away_is_named_without_its_password():
    from biomem_airflow.ui.app import make_app

    away = psycopg.conninfo.make_conninfo("", host="127.0.0.1", port=1, user="u", password="hidden-word", dbname="gone")
    answer = TestClient(make_app(lambda: away, access=lambda: None)).get("/api/now")
    assert answer.status_code == 503
    assert "127.0.0.1:1" in answer.text
    assert "hidden-word" not in answer.text


@pytest.mark.parametrize(
    "hostile", ["'; drop table memory.memories; --", "%s {0} \\", "\0", "🧠" * 200, "..//..", "%00"]
)
def test_hostile_choices_find_nothing_and_break_nothing(pg, dsn, hostile):
    from biomem_airflow.ui.app import make_app

    with TestClient(make_app(lambda: dsn, access=lambda: None)) as client:
        for view in VIEWS:
            choices = {"agent": hostile, "id": hostile, "question": hostile, "search": hostile, "concept": hostile}
            assert client.get(f"/api/{view}", params=choices).status_code in (200, 404, 422)
        for choices in ({"search": hostile}, {"concept": hostile}):
            for view in ("forgetting", "network"):
                assert client.get(f"/api/{view}", params={"agent": "ada", **choices}).status_code in (200, 422)
    assert pg.execute("select count(*) from memory.memories").fetchone() == (61,)


def test_the_page_reads_and_cannot_write(pg, dsn):
    from biomem_airflow.ui import reading

    with pytest.raises(Exception, match="read-only"), reading.connection(lambda: dsn) as reader:
        reader.execute("delete from memory.memories")


def test_one_answer_never_mixes_two_publications(pg, dsn, ask):
    stop = threading.Event()

    def publish():
        with psycopg.connect(dsn) as other:
            while not stop.is_set():
                other.execute("update memory.working_memory set activation = activation + 1 where agent_id = 'ada'")
                other.execute("update memory.runs set rows_written = rows_written + 1")
                other.commit()

    pg.execute("update memory.working_memory set activation = 0 where agent_id = 'ada'")
    writer = threading.Thread(target=publish)
    writer.start()
    try:
        seen = [{slot["activation"] for slot in ask("now")["agents"][0]["slots"]} for _ in range(20)]
    finally:
        stop.set()
        writer.join()
    assert all(len(activations) == 1 for activations in seen)
    assert len({next(iter(activations)) for activations in seen}) > 1
