"""A window that goes on from what is stored computes what a build from the log does, at the edges of when it may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from biomem.warehouse.context import AWAKE
from efforts import PATIENCE_S
from event_logs import DAY_S, LONG, Access, Log, Memory, instant
from states import difference, state

if TYPE_CHECKING:
    from recorded_models import World

pytestmark = pytest.mark.timeout(PATIENCE_S)


@dataclass(frozen=True)
class Window:
    """What a pull brings, and a run up to `day`; one that breaks off computes only up to the model `dies_after`."""

    day: float
    told: tuple[Memory, ...] = ()
    used: tuple[tuple[str, float], ...] = ()
    dies_after: str | None = None
    agent_id: str | None = None


def memory(memory_id: str, day: float, content: str | None = None, *, agent: str = "ada", **values: float) -> Memory:
    deleted, edited = values.get("deleted"), values.get("edited")
    return Memory(
        memory_id,
        agent,
        instant(day * DAY_S),
        content=content or f"{memory_id} it was",
        updated_at=instant((day if edited is None else edited) * DAY_S),
        deleted_at=None if deleted is None else instant(deleted * DAY_S),
    )


LIFE = (
    Window(
        1,
        told=(
            *(memory(f"used{number}", 0.2) for number in range(8)),
            memory("bell", 0.2, "the bell of the harbour"),
            memory("first", 0.1, LONG),
            memory("again", 0.5, LONG.upper()),
            memory("gone", 0.1),
            memory("moved", 0.3),
            memory("moved twice", 0.3),
            memory("ahead", 6),
            memory("fact", 0.1, "Noor lives in Leiden."),
            memory("other fact", 0.2, "Noor lives in Utrecht."),
            memory("of bo", 0.2, agent="bo"),
        ),
        # at the very end of the window; due at the very end of a later one, and within it
        used=(("used1", 1), ("used2", 3), ("used3", 2.5)),
    ),
    Window(
        2,
        # an edit that is dated ahead
        told=(memory("used7", 0.2, "used7 it is", edited=2.7),),
        used=(
            # late by nothing; later than what the window before saw last; late and recent
            *(("used0", 1), ("used1", 1.5), ("used4", 0.6), ("used4", 1.7)),
            # of a repeat, dated before it was told, beside one of what it repeats
            *(("again", 0.3), ("first", 1.6), ("fact", 1.5), ("ahead", 1.5), ("gone", 1.5)),
        ),
    ),
    # brings nothing: what was dated ahead comes due
    Window(3),
    # a run breaks off, what it took up comes again with an event of the same instant and a later one
    Window(
        4,
        # what is said to have been told later than it was
        told=(memory("moved twice", 3.1),),
        used=(("used5", 3.2), ("again", 3.3), ("used6", 3.4)),
        dies_after="memory_histories",
    ),
    Window(4, used=(("used5", 3.2), ("used5", 3.5))),
    # the next one breaks off when it has folded; late and recent are told apart over both runs
    Window(5, used=(("used5", 4.5), ("used6", 0.7), ("again", 0.7)), dies_after="memory_traces"),
    Window(5.5, used=(("used6", 5.2), ("first", 5.2))),
    # a late memory was the first to tell of what another tells, which was used
    Window(
        6.5,
        told=(
            memory("sooner", 0.05, "the bell of the harbour in fog"),
            memory("last fact", 6, "Noor lives in Paris."),
            memory("moved", 6.1),
        ),
        used=(("bell", 6.1), ("ahead", 6.2), ("fact", 6.2)),
    ),
    Window(7, told=(memory("gone", 0.1, deleted=6.8),), used=(("gone", 6.9), ("of bo", 6.9)), agent_id="ada"),
    Window(7.9, used=tuple(("used0", 7.1 + hour / 24) for hour in range(12))),
    Window(8, told=(memory("first", 0.1, "it was nothing"),), used=(("again", 7.5), ("of bo", 7.5), ("used0", 7.5))),
)


def test_every_window_of_a_life_that_is_mostly_used_equals_a_build_from_the_log(
    world: World, other_world: World
) -> None:
    models = [
        name
        for name, stage in world.recording.stages.items()
        if stage == AWAKE and name not in {*world.recording.views, "stg_clock"}
    ]
    agents: dict[str, str] = {}
    world.renew()
    other_world.renew()
    for number, window in enumerate(LIFE):
        agents |= {told.memory_id: told.agent_id for told in window.told}
        used = tuple(
            Access(f"{number}-{place}", memory_id, agents[memory_id], instant(day * DAY_S), "retrieve", 3)
            for place, (memory_id, day) in enumerate(window.used)
        )
        as_of, log = instant(window.day * DAY_S), Log(window.told, used)
        only = [window.dies_after] if window.dies_after else []
        is_completed = not only
        status = world.pull(log).run(AWAKE, as_of, only=only, complete=is_completed, agent_id=window.agent_id)
        assert status == "ready"
        other_world.pull(log).run(AWAKE, as_of, full_refresh=True)
        if is_completed and window.agent_id is None:
            found = difference(state(world.con, models), state(other_world.con, models))
            assert found is None, f"as of day {window.day}: {found}"
    # and of a memory that was used often, the last ten accesses are kept
    times = world.value("select last_access_times from memory_traces where memory_id = 'used0'")
    assert times == sorted([*(instant((7.1 + hour / 24) * DAY_S) for hour in range(3, 12)), instant(7.5 * DAY_S)])
