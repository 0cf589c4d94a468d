"""Invariants 3 to 6 of the memory model: the state follows from the log, however and whenever it was computed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from biomem.warehouse.context import AWAKE, STAGES
from biomem.warehouse.economy import quiet_for
from efforts import tried
from event_logs import DAY_S, LAST_DAY, Log, as_ofs, instant, logs
from hypothesis import assume, given
from hypothesis import strategies as st
from recorded_models import BUILD
from states import back, difference, state

if TYPE_CHECKING:
    from hypothesis import settings
    from recorded_models import World

# sleep writes what the stages before it take up in their next run; after this round nothing is left to take up
ROUND = (*STAGES, "nightly_decay", "short_term_memory")

# how far each run has come is no part of the state, nor is which pull brought a row
BOOKKEEPING_MODELS = {"stg_clock"}
PULLED_BY = ("batch_id",)

days = st.integers(1, LAST_DAY)
schedules = st.lists(
    st.tuples(st.sampled_from(STAGES), days, st.sampled_from([True, True, False])), min_size=1, max_size=6
)


def settle(world: World, as_of: datetime, *, full_refresh: bool = False) -> World:
    for stage in ROUND:
        world.run(stage, as_of, full_refresh=full_refresh)
    return world


def everything(world: World) -> dict[str, list[dict[str, Any]]]:
    return state(world.con, set(world.recording.stages) - BOOKKEEPING_MODELS, PULLED_BY)


@tried(quick=3, thorough=150)
def test_running_any_job_twice_late_or_after_a_gap_gives_the_same_tables(
    world: World, other_world: World, effort: settings
) -> None:
    @effort
    @given(log=logs(), as_of=as_ofs, schedule=schedules)
    def holds(log: Log, as_of: datetime, schedule: list[tuple[str, int, bool]]) -> None:
        settle(world.renew().pull(log), as_of)
        other_world.renew().pull(log)
        for stage, day, is_completed in sorted(schedule, key=lambda step: step[1]):
            if instant(day * DAY_S) <= as_of:
                other_world.run(stage, instant(day * DAY_S), complete=is_completed)
        settle(settle(other_world, as_of), as_of)
        assert difference(everything(world), everything(other_world)) is None

    holds()


@tried(quick=4, thorough=400)
def test_a_window_to_which_nothing_is_new_computes_what_stands(world: World, effort: settings) -> None:
    @effort
    @given(log=logs(), schedule=schedules, at_s=st.integers(1, LAST_DAY * DAY_S), later_s=st.integers(0, 30 * DAY_S))
    def holds(log: Log, schedule: list[tuple[str, int, bool]], at_s: int, later_s: int) -> None:
        world.renew().pull(log)
        as_of = instant(at_s)
        for stage, day, is_completed in sorted([*schedule, (AWAKE, at_s / DAY_S, True)], key=lambda step: step[1]):
            world.run(stage, instant(day * DAY_S), complete=is_completed)
        later = as_of + timedelta(seconds=later_s)
        assume(quiet_for(world.con, as_of=later, build=BUILD) is not None)
        # not what wm_active_context makes of it: that is a view, and what is in mind goes by
        tables = {name for name, of in world.recording.stages.items() if of == AWAKE} - world.recording.views
        before = state(world.con, tables)
        assert world.run(AWAKE, later) == "ready"
        assert difference(before, state(world.con, tables), tolerance=0) is None

    holds()


@tried(quick=2, thorough=150)
@pytest.mark.parametrize("time_zone", ["UTC", "America/New_York"])
def test_shifting_every_time_by_whole_days_shifts_nothing_else(
    world: World, other_world: World, effort: settings, time_zone: str
) -> None:
    # a decision's id and inputs hold its instants as text, a history's events hold them packed into a number
    in_disguise = ("decision_id", "inputs", "events")
    # weeks begin on Sundays, so prunes keep only to whole weeks
    bound_to_weeks = ("is_pruned", "pruned_at", "strength_when_pruned")

    @effort
    @given(log=logs(most_memories=6), as_of=as_ofs, shift=st.sampled_from([1, -1, 5, 7, -7 * 19_000, 365]))
    def holds(log: Log, as_of: datetime, shift: int) -> None:
        by = timedelta(days=shift)
        settle(world.renew().pull(log), as_of)
        settle(other_world.renew().pull(log.shifted(by)), as_of + by)
        # whoever looks may sit anywhere
        other_world.con.execute(f"set TimeZone = '{time_zone}'")
        is_whole_weeks = shift % 7 == 0
        without = in_disguise if is_whole_weeks else (*in_disguise, *bound_to_weeks)
        # which links are pruned decides what of them the network, the ledger and the counts of both show
        bound_models = set() if is_whole_weeks else {"ltm_semantic_network", "memory_ledger", "memory_health"}
        models = set(world.recording.stages) - BOOKKEEPING_MODELS - bound_models
        moved = {
            model: sorted((back(row, by) for row in rows), key=repr)
            for model, rows in state(other_world.con, models, without).items()
        }
        stayed = {
            model: sorted((back(row, timedelta()) for row in rows), key=repr)
            for model, rows in state(world.con, models, without).items()
        }
        assert difference(stayed, moved) is None

    holds()


@tried(quick=3, thorough=200)
def test_the_order_of_events_and_duplicates_do_not_matter(world: World, other_world: World, effort: settings) -> None:
    @effort
    @given(log=logs(), as_of=as_ofs, data=st.data())
    def holds(log: Log, as_of: datetime, data: Any) -> None:
        settle(world.renew().pull(log), as_of)
        memories = data.draw(st.permutations(log.memories))
        again = data.draw(st.lists(st.sampled_from(log.memories), max_size=3))
        accesses = data.draw(st.permutations(log.accesses))
        cut = data.draw(st.integers(0, len(accesses)))
        # delivered in another order, some of it twice, in the same pull and in a later one
        first = Log((*memories, *again), (*accesses[:cut], *accesses[: cut // 2]))
        second = Log(tuple(again), (*accesses[cut // 2 :], *accesses[:cut]))
        # and computed by someone who sits elsewhere
        other_world.renew().con.execute("set TimeZone = 'America/New_York'")
        settle(other_world.pull(first, second), as_of)
        other_world.con.execute("set TimeZone = 'UTC'")
        assert difference(everything(world), everything(other_world)) is None

    holds()


@tried(quick=3, thorough=200)
def test_an_incremental_state_equals_a_full_rebuild(world: World, effort: settings) -> None:
    @effort
    @given(log=logs(), runs=st.lists(days, min_size=1, max_size=3).map(sorted), data=st.data())
    def holds(log: Log, runs: list[int], data: Any) -> None:
        world.renew()
        parts = [data.draw(st.integers(0, len(runs) - 1)) for _ in (*log.memories, *log.accesses)]
        told = list(zip(log.memories, parts, strict=False))
        logged = list(zip(log.accesses, parts[len(log.memories) :], strict=True))
        for part, day in enumerate(runs):
            # what comes in a part may lie long before it: late events
            world.pull(Log(_of(told, part), _of(logged, part)))
            skipped = data.draw(st.sets(st.sampled_from(STAGES[1:]), max_size=2))
            for stage in STAGES:
                if stage not in skipped:
                    world.run(stage, instant(day * DAY_S), complete=data.draw(st.integers(0, 4)) > 0)
        as_of = instant(runs[-1] * DAY_S)
        grown = everything(settle(world, as_of))
        rebuilt = everything(settle(world, as_of, full_refresh=True))
        assert difference(grown, rebuilt) is None

    holds()


def _of(rows: list[tuple[Any, int]], part: int) -> tuple[Any, ...]:
    return tuple(row for row, of in rows if of == part)
