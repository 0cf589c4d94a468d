from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.integration.recall.conftest import START

PARTS = {"words", "meaning", "around", "who", "when", "statement", "association", "retention"}


def test_the_parts_of_every_result_sum_up_to_its_score(target):
    for number in range(30):
        target.remember(
            f"m{number}",
            f"tea with guest {number % 7} and cake {number % 3}",
            minute=number,
            session_id="s",
            speaker=["Mara", "Ben"][number % 2],
            occurred_at=START + timedelta(days=number),
        )
    results = target.results("Which cake did Mara have with guest 4 in March 2026?", k=30)
    assert len(results) == 30
    for row in results:
        numbers = {name: value for name, value in row["parts"].items() if name != "state"}
        assert set(numbers) == PARTS
        assert row["score"] == pytest.approx(sum(numbers.values()), abs=1e-12)
    assert [row["score"] for row in results] == sorted((row["score"] for row in results), reverse=True)


def test_a_rare_word_counts_for_more_than_a_common_one(target):
    target.remember("rare", "the heron stood there")
    for number in range(9):
        target.remember(f"common-{number}", "a walk in the park", minute=number + 1)
    target.remember("both", "long walk, no bird to be seen anywhere at all along the whole way", minute=20)
    assert target.recall("walk heron")[0] == "rare"


def test_what_was_said_around_a_hit_in_its_session_comes_with_it(target):
    for number in range(7):
        target.remember(f"m{number}", f"line {'heron' if number == 3 else 'text'}", minute=number, session_id="s")
    target.remember("elsewhere", "line text", minute=3.5, session_id="other")
    assert target.recall("heron") == ["m3", "m4", "m2", "m5", "m1"]


def test_who_is_named_is_a_cue(target):
    target.remember("ben", "I love sailing", speaker="Ben Carter")
    target.remember("mara", "I love sailing", speaker="Mara", minute=1)
    assert target.recall("What does Ben love?")[0] == "ben"
    assert target.recall("What does Mara love?")[0] == "mara"
    assert target.recall("Mara?") == ["mara"]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Where was the walk in April 2026?", "april"),
        ("The walk of 2 March 2026", "march"),
        ("The walk of 2026-03-02", "march"),
        ("Where was the walk in 2025?", "year before"),
        ("Where was the walk in April?", "april"),
        ("What about the walk yesterday?", "yesterday"),
        ("And the walk last month?", "april"),
        ("And the walk two months ago?", "march"),
    ],
)
def test_when_is_named_is_a_cue(target, question, found):
    at = START.replace(month=5, day=6)
    days = {
        "march": START,
        "april": START.replace(month=4, day=9),
        "yesterday": at - timedelta(days=1),
        "year before": START.replace(year=2025),
    }
    for name, day in days.items():
        target.remember(name, "a walk", occurred_at=day)
    assert target.recall(question, as_of=at)[0] == found


def test_a_vector_finds_what_no_word_does(target):
    target.remember("near", "a heron")
    target.remember("far", "a tractor", minute=1)
    target.pg.execute("insert into memory.embedding_models values ('toy', 2, true)")
    target.pg.execute(
        "insert into memory.recall_vectors (agent_id, model, document, embedding) select agent_id, 'toy', document, "
        "case memory_id when 'near' then '{1,0}' else '{0,1}' end::real[] from memory.recall_documents"
    )
    (first, second) = target.results("wading birds", query_embedding=[1.0, 0.0])
    assert (first["memory_id"], first["parts"]["meaning"]) == ("near", pytest.approx(0.5))
    assert (second["memory_id"], second["parts"]["meaning"]) == ("far", 0)
    assert target.recall("wading birds") == []


def test_an_association_brings_back_what_shares_no_word(target):
    target.remember("heron", "a heron")
    target.remember("lake", "the lake", minute=500)
    target.remember("pruned", "the tractor", minute=900)
    for other, is_pruned in (("lake", False), ("pruned", True)):
        target.pg.execute(
            "insert into memory.associations values ('ada', 'heron', %s, 0.5, %s, 3, %s, 'r', 'h', %s)",
            [other, START, is_pruned, START],
        )
    results = target.results("heron", as_of=START + timedelta(days=1))
    assert [row["memory_id"] for row in results] == ["heron", "lake"]
    assert 0 < results[1]["parts"]["association"] <= 0.05


def test_a_cue_of_more_fan_lends_less(target):
    target.remember("few", "a heron")
    target.remember("many", "a kingfisher", minute=1)
    for number in range(4):
        target.remember(f"x{number}", f"note {number}", minute=100 * number)
    pairs = [("few", "x0"), ("many", "x1"), ("many", "x2"), ("many", "x3")]
    for a, b in pairs:
        target.pg.execute(
            "insert into memory.associations values ('ada', %s, %s, 0.5, %s, 3, false, 'r', 'h', %s)",
            [a, b, START, START],
        )
    at = START + timedelta(days=1)
    lent = {name: target.results(name, as_of=at)[1]["parts"]["association"] for name in ("heron", "kingfisher")}
    assert lent["heron"] > lent["kingfisher"] > 0


def test_of_two_alike_the_one_retained_better_comes_first(target):
    target.remember("a-faded", "a heron", stability_days=0.1)
    target.remember("b-held", "a heron", stability_days=100.0)
    assert target.recall("heron") == ["b-held", "a-faded"]


def test_a_strong_cue_brings_back_what_was_forgotten_and_a_weak_one_does_not(target):
    at = START + timedelta(days=2000)
    target.remember("gone", "the blue heron of the lower lake", state="forgotten", stability_days=0.2)
    target.remember("live", "a lake", minute=600, stability_days=1000.0)
    strong, weak = "blue heron lower lake", "Which lake did the tractor and the ferry and the miller see?"
    assert target.recall(strong, as_of=at)[0] == "gone"
    assert target.results(strong, as_of=at)[0]["parts"]["state"] == "forgotten"
    assert target.recall(weak, as_of=at) == ["live"]
    assert set(target.recall(weak, as_of=at, forgotten="all")) == {"gone", "live"}
    assert target.recall(strong, as_of=at, forgotten="none") == ["live"]
    assert target.recall(strong, as_of=at, forgotten=None)[0] == "gone"


def test_a_repeat_is_found_by_its_own_id_and_shares_the_fate_of_the_first(target):
    target.remember("first", "We met at the lake", state="forgotten", stability_days=1.0)
    target.remember(
        "repeat",
        "We met at the blue lake",
        minute=9,
        state="repeat",
        repeat_of="first",
        stability_days=None,
        last_accessed_at=None,
    )
    at = START + timedelta(days=2)
    assert target.results("blue lake", as_of=at)[0]["memory_id"] == "repeat"
    assert target.results("blue lake", as_of=at)[0]["parts"]["state"] == "forgotten"
    assert target.recall("blue lake", as_of=at, forgotten="none") == []


def test_what_happened_after_as_of_is_not_seen(target):
    target.remember("before", "a heron")
    target.remember("after", "a heron", minute=60)
    assert target.recall("heron", as_of=START + timedelta(minutes=30)) == ["before"]


def accesses(target):
    return target.pg.execute("select memory_id, agent_id, kind, grade, origin from memory.access_log").fetchall()


def test_what_is_recalled_is_logged_unless_told_otherwise(target):
    target.remember("heron", "a heron")
    target.recall("heron", log=False)
    target.recall("heron", log=None)
    target.recall("heron", log=True, as_of=START + timedelta(days=1))
    target.recall("tractor", log=True)
    assert accesses(target) == []
    target.recall("heron", log=True)
    assert accesses(target) == [("heron", "ada", "retrieve", 3, "recall")]


def test_a_read_only_transaction_recalls_and_logs_nothing(target):
    target.remember("heron", "a heron")
    with target.pg.transaction():
        target.pg.execute("set transaction read only")
        assert target.recall("heron", log=True) == ["heron"]
    assert accesses(target) == []


@pytest.fixture
def role(target):
    """A role that may read agent ada only, logged in."""
    name = f"reader_{target.pg.info.dbname}"
    target.pg.execute(f"create role {name} login")
    target.pg.execute("insert into memory.role_agents values (%s, 'ada')", [name])
    target.pg.execute(f"grant memory_reader to {name}")
    yield name
    target.pg.execute(f"drop owned by {name}")
    target.pg.execute(f"drop role {name}")


def test_row_level_security_keeps_agents_apart_whatever_agent_is_asked_for(target, role):
    target.remember("ada", "a heron")
    target.remember("eve", "a heron", agent_id="eve")
    dsn = make_conninfo(target.pg.info.dsn, user=role)
    with psycopg.connect(dsn, autocommit=True) as reader:

        def ask(agent_id):
            return [i for (i,) in reader.execute("select memory_id from memory.recall('heron', %s, 9)", [agent_id])]

        assert ask("ada") == ["ada"]
        assert ask("eve") == []
        assert reader.execute("select distinct agent_id from memory.recall_postings").fetchall() == [("ada",)]
    assert accesses(target) == []  # a reader that is no writer
    target.pg.execute(f"grant memory_access_writer to {role}")
    with psycopg.connect(dsn, autocommit=True) as reader:
        assert reader.execute("select count(*) from memory.recall('heron', 'ada', 9)").fetchone() == (1,)
    assert accesses(target) == [("ada", "ada", "retrieve", 3, "recall")]
