"""What a run computes: its instant, its agents, and what is new to them since the last completed run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from biomem.errors import ConfigurationError, WarehouseError
from biomem.warehouse.context import MANY, begin_stage, complete_stage, takes_long

T = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


@pytest.fixture
def batch(con):
    """Pretend that a pull came, with these agents."""

    def add(*agents):
        con.execute(
            "insert into raw.pulls select coalesce(max(batch_id), 0) + 1, 's', null, null, null, '1', 1, 0, 0, 0 "
            "from raw.pulls"
        )
        for agent in agents:
            con.execute("insert or ignore into raw.agents values (?)", [agent])

    return add


@pytest.fixture
def begin(con):
    def begin_run(run_id, as_of, stage="short_term_memory", **options):
        return begin_stage(con, stage, run_id=run_id, as_of=as_of, params_hash="p", **options)

    return begin_run


@pytest.fixture
def clock(con):
    """An agent's clock in a stage: as_of, previous_as_of, batch_from, batch_upto, is_in_run."""

    def read(agent="a", stage="short_term_memory"):
        return con.execute(
            "select as_of, previous_as_of, batch_from, batch_upto, is_in_run from raw.agent_clock "
            "where stage = ? and agent_id = ?",
            [stage, agent],
        ).fetchone()

    return read


def test_the_first_run_takes_everything_for_new(begin, batch, clock):
    batch("a", "b")
    start = begin("r1", T)
    assert (start.status, start.agents) == ("ready", 2)
    assert clock("a") == clock("b") == (T, None, 0, 1, True)


def test_a_run_after_a_completed_one_starts_where_that_ended(con, begin, batch, clock):
    batch("a")
    begin("r1", T)
    complete_stage(con, "short_term_memory", "r1")
    batch()
    begin("r2", T + DAY)
    assert clock() == (T + DAY, T, 1, 2, True)


def test_a_run_after_one_that_died_starts_where_the_last_completed_one_ended(con, begin, batch, clock):
    batch("a")
    begin("r1", T)
    complete_stage(con, "short_term_memory", "r1")
    batch()
    begin("died", T + DAY)
    batch()
    begin("r3", T + 2 * DAY)
    assert clock() == (T + 2 * DAY, T, 1, 3, True)


def test_beginning_the_same_run_again_changes_nothing(con, begin, batch, clock):
    batch("a")
    begin("r1", T)
    complete_stage(con, "short_term_memory", "r1")
    begin("r2", T + DAY)
    first = clock()
    begin("r2", T + DAY)
    assert clock() == first


def test_an_instant_before_the_last_one_changes_nothing_and_points_to_rebuild_memory(con, begin, batch):
    batch("a")
    begin("r1", T)
    before = con.execute("from raw.run_context").fetchall(), con.execute("from raw.agent_clock").fetchall()
    start = begin("r2", T - DAY)
    assert start.status == "behind"
    assert "rebuild_memory" in start.message
    assert (con.execute("from raw.run_context").fetchall(), con.execute("from raw.agent_clock").fetchall()) == before


def test_a_run_of_one_agent_moves_no_other_clock_and_not_the_stages_instant(con, begin, batch, clock):
    batch("a", "b")
    begin("r1", T)
    complete_stage(con, "short_term_memory", "r1")
    assert begin("r2", T + 2 * DAY, agent_id="a").agents == 1
    complete_stage(con, "short_term_memory", "r2")
    assert clock("a") == (T + 2 * DAY, T, 1, 1, True)
    assert clock("b") == (T, None, 0, 1, False)
    assert con.execute("select as_of from raw.run_context").fetchone() == (T,)


def test_an_agent_that_is_ahead_stays_out_of_a_run_of_all(con, begin, batch, clock):
    batch("a", "b")
    begin("r1", T)
    complete_stage(con, "short_term_memory", "r1")
    begin("r2", T + 2 * DAY, agent_id="a")
    complete_stage(con, "short_term_memory", "r2")
    assert begin("r3", T + DAY).agents == 1
    complete_stage(con, "short_term_memory", "r3")
    assert clock("a") == (T + 2 * DAY, T, 1, 1, False)
    assert clock("b") == (T + DAY, T, 1, 1, True)
    begin("r4", T + 3 * DAY)
    assert clock("a") == (T + 3 * DAY, T + 2 * DAY, 1, 1, True)


def test_an_agent_that_is_new_gets_a_clock_from_the_beginning(con, begin, batch, clock):
    batch("a")
    begin("r1", T)
    complete_stage(con, "short_term_memory", "r1")
    batch("b")
    begin("r2", T + DAY)
    assert clock("b") == (T + DAY, None, 0, 2, True)


def test_a_full_refresh_takes_everything_for_new_until_it_is_completed(con, begin, batch, clock):
    batch("a")
    begin("r1", T)
    complete_stage(con, "short_term_memory", "r1")
    begin("died", T + DAY, full_refresh=True)
    begin("r3", T + DAY)
    assert clock() == (T + DAY, None, 0, 1, True)


def test_going_back_in_time_needs_everything_to_be_built_anew(begin, batch, clock):
    batch("a")
    begin("r1", T)
    with pytest.raises(ConfigurationError, match="full_refresh"):
        begin("r2", T - DAY, rewind=True)
    assert begin("r2", T - DAY, rewind=True, full_refresh=True).status == "ready"
    assert clock() == (T - DAY, None, 0, 1, True)


def test_replays_of_a_consolidation_that_was_under_way_are_taken_up_next_time(con, begin, batch):
    def replays_from():
        return con.execute(
            "select replay_sequence_from from raw.agent_clock where stage = 'short_term_memory'"
        ).fetchone()[0]

    batch("a")
    begin("s1", T)
    complete_stage(con, "short_term_memory", "s1")
    sleep = begin("c1", T, stage="consolidation")
    begin("s2", T)
    complete_stage(con, "short_term_memory", "s2")
    complete_stage(con, "consolidation", "c1")
    begin("s3", T)
    assert replays_from() < sleep.sequence
    complete_stage(con, "short_term_memory", "s3")
    begin("s4", T)
    assert replays_from() == sleep.sequence


def test_sleep_before_the_first_waking_window_is_early_and_writes_nothing(con, begin, batch):
    batch("a")
    start = begin("c1", T, stage="consolidation")
    assert start.status == "early"
    assert "run short_term_memory first" in start.message
    assert con.execute("select count(*) from raw.run_context").fetchone() == (0,)


def test_a_week_before_the_first_consolidation_is_early(begin, batch):
    batch("a")
    begin("r1", T)
    start = begin("w1", T, stage="weekly_homeostasis")
    assert start.status == "early"
    assert "run consolidation first" in start.message
    assert begin("n1", T, stage="nightly_decay").status == "ready"
    begin("c1", T, stage="consolidation")
    assert begin("w2", T, stage="weekly_homeostasis").status == "ready"


def test_completing_twice_is_harmless_and_completing_anothers_run_is_refused(con, begin, batch):
    batch("a")
    begin("r1", T)
    complete_stage(con, "short_term_memory", "r1")
    complete_stage(con, "short_term_memory", "r1")
    begin("r2", T + DAY)
    with pytest.raises(WarehouseError, match="run 'r2' was begun since"):
        complete_stage(con, "short_term_memory", "r1")


def test_a_run_over_no_memories_at_all_is_ready(begin):
    assert begin("r1", T).agents == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"stage": "daydream"}, "there is no stage 'daydream'"),
        ({"agent_id": "nobody"}, r"no memories of agent 'nobody' were pulled; known agents: 'a'"),
        ({"as_of": datetime(2026, 1, 1)}, "has no time zone"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(begin, batch, options, reason):
    batch("a")
    with pytest.raises(ConfigurationError, match=reason):
        begin("r1", **{"as_of": T, **options})


def test_what_computes_everything_takes_long_and_so_does_sleep_over_many_memories(con, begin, batch):
    batch("a")
    begin("r1", T)
    assert takes_long(con, "short_term_memory")  # none was completed before
    complete_stage(con, "short_term_memory", "r1")
    begin("r2", T)
    assert not takes_long(con, "short_term_memory")
    begin("r3", T, full_refresh=True)
    assert takes_long(con, "short_term_memory")
    begin("c1", T, stage="consolidation")
    complete_stage(con, "consolidation", "c1")
    begin("c2", T, stage="consolidation")
    assert not takes_long(con, "consolidation")
    con.execute(
        "insert into raw.memories (source_name, memory_id, agent_id, content, occurred_at, tags, batch_id) "
        "select 's', 'm' || n, 'a', 'text', $at, [], 1 from range($many + 1) as numbers (n)",
        {"many": MANY, "at": T},
    )
    assert takes_long(con, "consolidation")
    begin("r4", T)
    complete_stage(con, "short_term_memory", "r4")
    begin("r5", T)
    assert not takes_long(con, "short_term_memory")
