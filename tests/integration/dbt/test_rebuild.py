"""Whatever the order in which a life was pulled and computed, its state is what one build from the log gives."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from biomem.warehouse.ahead import compare_ahead
from biomem.warehouse.context import AWAKE, STAGES
from biomem.warehouse.publish import publish_stage
from biomem.warehouse.rebuild import verify
from lives import Life, day

ROWS_AT_ONCE = 5
MEMORIES_AT_ONCE = 5

LONG_TEXT = (
    "on the way home we spoke at length about the garden behind the old school and the people who once "
    "planted the apple trees along its southern wall"
)


def _memories(life: Life, chance: random.Random, count: int, latest: float, prefix: str) -> list[dict[str, Any]]:
    texts = [
        LONG_TEXT,
        LONG_TEXT + " too",
        LONG_TEXT.replace("apple", "pear"),
        *(f"note {n} of Ada" for n in range(12)),
    ]
    return [
        {
            "memory_id": f"{prefix}-{number}",
            "agent_id": chance.choice(["ada", "bo"]),
            "session_id": chance.choice(["s1", "s2", None]),
            "content": chance.choice(texts),
            "occurred_at": day(chance.uniform(0, latest)),
            "tags": chance.sample(["garden", "school", "Ada"], 2),
            "importance": chance.choice([None, 0.1, 0.9]),
        }
        for number in range(count)
    ]


def _step(life: Life, chance: random.Random, number: int, today: float) -> None:
    memories = _memories(life, chance, chance.randint(1, 12), today + 1, f"m{number}")
    known = [row[0] for row in life.rows("select memory_id from raw.memories order by 1")]
    known += [memory["memory_id"] for memory in memories]
    accesses = [(chance.choice(known), day(chance.uniform(0, today + 0.5))) for _ in range(chance.randint(0, 40))]
    accesses += [
        (chance.choice(known), day(today - 0.01) + timedelta(seconds=chance.randint(0, 600))) for _ in range(8)
    ]
    edited = [{**memories[0], "content": chance.choice([LONG_TEXT, "edited"]), "updated_at": day(today - 0.1)}]
    deleted = {chance.choice(known): day(today)} if chance.random() < 0.3 else {}
    life.pull(memories, accesses)
    life.pull(edited, deleted=deleted)


def _interleave(life: Life, seed: int, steps: int, dsn: str) -> None:
    chance = random.Random(seed)
    today = 1.0
    for number in range(steps):
        today += chance.choice([0.01, 1, 8, 30])
        _step(life, chance, number, today)
        for stage in STAGES:
            if number and chance.random() < 0.25:
                continue
            for again in range(chance.choice([1, 1, 2])):
                is_complete = chance.random() > 0.2
                life.run(
                    stage,
                    # the same window again, or one since which nothing may have befallen
                    day(today) + again * timedelta(minutes=chance.choice([0, 1, 10])),
                    agent_id="ada" if chance.random() < 0.15 and "ada" in _agents(life) else None,
                    full_refresh=chance.random() < 0.1,
                    complete=is_complete,
                )
                if stage == AWAKE or is_complete:
                    _publish(life, stage, dsn)


def _publish(life: Life, stage: str, dsn: str) -> None:
    """What a window sends, having looked at what is new only, is all that a look at everything finds to send.

    So is what sleep sends, having looked at its tables in slices.
    """
    ((run_id,),) = life.rows(f"select run_id from raw.run_context where stage = '{stage}'")
    ahead = compare_ahead(
        life.settings,
        stage,
        dsn=dsn,
        run_id=run_id,
        memories_at_once=MEMORIES_AT_ONCE,
        rows_at_once=ROWS_AT_ONCE,
    )
    with life.open() as con:
        publish_stage(con, stage, dsn=dsn, run_id=run_id, ahead=ahead)
        seen = con.execute("from published.seen").fetchall()
        con.execute("delete from published.seen")
        again = publish_stage(con, stage, dsn=dsn, run_id=run_id)
        # the next window looks as it would have without this look at everything
        con.execute("delete from published.seen")
        if seen:
            con.executemany("insert into published.seen values (?, ?, ?)", seen)
    assert not again.resent
    assert not any(again.rows_written.values()), again
    assert not any(again.rows_deleted.values()), again


def _agents(life: Life) -> list[str]:
    return [row[0] for row in life.rows("select agent_id from raw.agents")]


def _assert_equal(life: Life) -> None:
    for comparison in verify(life.settings):
        assert comparison.verdict != "different", (comparison.model, comparison.differences)


@pytest.mark.parametrize("seed", [1])
def test_any_interleaving_of_pulls_and_runs_equals_a_rebuild(life: Life, seed: int, dsn: str) -> None:
    _interleave(life, seed, steps=3, dsn=dsn)
    _assert_equal(life)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 23))
def test_many_interleavings_equal_a_rebuild(life: Life, seed: int, dsn: str) -> None:
    _interleave(life, seed, steps=6, dsn=dsn)
    _assert_equal(life)


def test_a_row_that_was_altered_by_hand_is_named(life: Life) -> None:
    """In a table that is made anew by each run as in one that grows."""
    life.pull(
        [{"memory_id": f"m{n}", "content": f"note {n}", "session_id": "s", "occurred_at": day(n)} for n in range(4)],
        [(f"m{n}", day(n + hours / 24)) for n in range(4) for hours in range(1, 9)],
    )
    for stage in STAGES:
        life.run(stage, day(20))
    altered = {"association_homeostasis": "trace", "memory_histories": "grade", "memory_traces": "stability_days"}
    with life.open() as con:
        for model, column in altered.items():
            assert con.execute(f"select 1 from {model} where memory_id = 'm1' and {column} > 0").fetchone()
            con.execute(f"update {model} set {column} = 2 * {column} where memory_id = 'm1'")
    found = {each.model: each.differences for each in verify(life.settings) if each.verdict == "different"}
    assert {model: {row["memory_id"] for row in found[model]} for model in altered} == dict.fromkeys(altered, {"m1"})
