"""Invariant 13 of the memory model: no log breaks a model, and nothing is seen before its time."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any

import pytest
from efforts import PATIENCE_S, tried
from event_logs import DAY_S, Access, Log, Memory, as_ofs, instant, logs
from hypothesis import given
from states import difference, state

if TYPE_CHECKING:
    from hypothesis import settings
    from recorded_models import World

pytestmark = pytest.mark.timeout(PATIENCE_S)

AS_OF = instant(30 * DAY_S)
# of what lies in the future these have rows, or counts; an agent's clock runs before its first memory
KNOW_THE_FUTURE = {
    *("stg_clock", "stg_memories", "stg_events"),
    *("memory_repeats", "memory_histories", "memory_traces", "memory_health"),
}


def _numbers(value: Any) -> list[float]:
    if isinstance(value, float):
        return [value]
    if isinstance(value, dict):
        return [number for part in value.values() for number in _numbers(part)]
    return [number for part in value for number in _numbers(part)] if isinstance(value, list) else []


def assert_finite(world: World) -> None:
    for model, rows in state(world.con, world.recording.stages).items():
        for row in rows:
            # what the source states is staged as it is, and read with care
            assert all(isfinite(number) for number in _numbers(list(row.values()))), (model, row)


@tried(quick=4, thorough=300)
def test_no_log_gives_nan_a_division_by_zero_or_a_crash(world: World, effort: settings) -> None:
    @effort
    @given(log=logs(), as_of=as_ofs)
    def holds(log: Log, as_of: datetime) -> None:
        world.renew().pull(log).live_to(as_of).live_to(as_of + timedelta(days=200))
        assert_finite(world)

    holds()


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(Log(), id="nothing at all"),
        pytest.param(Log((Memory("only", "ada", instant(0)),)), id="one memory, all else null"),
        pytest.param(Log((Memory("only", "ada", AS_OF),)), id="one memory, this very instant"),
        pytest.param(Log((Memory("only", "ada", AS_OF + timedelta(days=1)),)), id="one memory, in the future"),
        pytest.param(
            Log(
                tuple(Memory(f"m{n}", "ada", instant(0), session_id="s", content=f"note {n}") for n in range(9)),
                tuple(Access(f"a{n}", f"m{n % 9}", "ada", instant(0), "retrieve", n % 6) for n in range(60)),
            ),
            id="all in one instant",
        ),
        pytest.param(
            Log(
                (Memory("m", "ada", instant(0), content="m"),),
                tuple(Access(f"a{n}", "m", "ada", instant(-DAY_S * n), "retrieve", 1) for n in range(20)),
            ),
            id="accesses before the memory",
        ),
        pytest.param(
            Log(
                (Memory("m", "ada", instant(0), importance=float("inf"), arousal=float("nan"), tags=()),),
                tuple(Access(f"a{n}", "m", "ada", instant(n), "retrieve", 1) for n in range(200)),
            ),
            id="failed again and again",
        ),
        pytest.param(
            Log((Memory("m", "ada", datetime.fromisoformat("0900-01-01T00:00:00+00:00"), content="m"),)),
            id="eleven centuries ago",
        ),
    ],
)
def test_odd_logs_build_and_leave_only_finite_numbers(world: World, log: Log) -> None:
    world.renew().pull(log).con.execute("insert or ignore into raw.agents values ('nobody')")
    world.live_to(AS_OF)
    assert_finite(world)
    world.live_to(AS_OF, full_refresh=True)
    assert_finite(world)


@tried(quick=4, thorough=200)
def test_what_comes_after_as_of_is_not_seen_yet(world: World, other_world: World, effort: settings) -> None:
    @effort
    @given(log=logs(), as_of=as_ofs)
    def holds(log: Log, as_of: datetime) -> None:
        told = {memory.memory_id: memory.occurred_at for memory in log.memories if memory.occurred_at <= as_of}
        accesses = tuple(
            access
            for access in log.accesses
            # an access that seems to precede its memory counts as made with it
            if access.memory_id in told and max(access.accessed_at, told[access.memory_id]) <= as_of
        )
        past = Log(tuple(memory for memory in log.memories if memory.memory_id in told), accesses)
        world.renew().pull(log).live_to(as_of)
        other_world.renew().pull(past).live_to(as_of)
        models = set(world.recording.stages) - KNOW_THE_FUTURE
        assert difference(state(world.con, models), state(other_world.con, models)) is None

    holds()
