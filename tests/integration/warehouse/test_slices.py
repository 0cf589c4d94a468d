"""Which agents a model computes next, and what remembers it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from biomem.warehouse.context import begin_stage, complete_stage
from biomem.warehouse.slices import begin_slice, end_slice

STAGE, MODEL = "nightly_decay", "memory_retention"
T = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def run(con):
    """Begin a run of the stage over agents a, b, c and d, of which b alone has more memories than fit."""
    for agent, memories in {"a": 2, "b": 7, "c": 2, "d": 1}.items():
        con.execute("insert into raw.agents values (?)", [agent])
        con.execute(
            "insert into raw.memories (source_name, memory_id, agent_id, occurred_at, batch_id) "
            "select 's', $1 || n, $1, timestamptz '2025-01-01', 1 from range($2) as numbers (n)",
            [agent, memories],
        )

    def begin(run_id, **options):
        begin_stage(con, "short_term_memory", run_id=run_id, as_of=T, params_hash="p")
        return begin_stage(con, STAGE, run_id=run_id, as_of=T, params_hash="p", **options)

    begin("first")
    return begin


@pytest.fixture
def next_slice(con, run):
    """The bounds of the slice that is begun."""

    def begin(memories=4):
        begin_slice(con, STAGE, MODEL, memories=memories)
        return con.execute("select agents_after, agents_upto from raw.slices where model = ?", [MODEL]).fetchone()

    return begin


def test_slices_follow_one_another_to_the_end_and_an_agent_is_never_divided(con, next_slice):
    found = [next_slice()]
    while not end_slice(con, MODEL):
        found.append(next_slice())
    assert found == [(None, "b"), ("b", None)]
    assert next_slice(memories=1) == (None, "a"), "what was computed to the end begins anew"


def test_a_slice_that_was_not_ended_is_begun_again(con, next_slice):
    next_slice()
    end_slice(con, MODEL)
    assert next_slice() == next_slice() == ("b", None)


def test_agents_that_come_to_have_memories_meanwhile_leave_out_none(con, next_slice):
    assert next_slice(memories=1) == (None, "a")
    end_slice(con, MODEL)
    con.execute(
        "insert into raw.memories select * replace ('new' as memory_id, 'aa' as agent_id) from raw.memories limit 1"
    )
    assert next_slice(memories=2) == ("a", "b")


def test_a_new_run_begins_at_the_first_agent(con, run, next_slice):
    next_slice()
    end_slice(con, MODEL)
    run("second")
    assert next_slice() == (None, "b")


def test_few_memories_are_one_slice(con, next_slice):
    assert next_slice(memories=100) == (None, None)
    assert end_slice(con, MODEL)


def test_what_is_built_anew_is_computed_for_all_agents_at_once(con, run, next_slice):
    run("whole", full_refresh=True)
    assert next_slice() is None
    assert end_slice(con, MODEL)


def test_a_model_whose_table_was_lost_is_computed_for_all_agents_at_once(con, run, next_slice):
    complete_stage(con, STAGE, "first")
    con.execute(f"create table main.{MODEL} (agent_id varchar)")
    run("second")
    assert next_slice() == (None, "b")
    con.execute(f"drop table main.{MODEL}")
    run("third")
    assert next_slice() is None
    assert end_slice(con, MODEL)
