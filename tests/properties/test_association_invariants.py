"""Invariants 7, 8 and 10 of the memory model: what comes to mind, and what holds together."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from biomem.parameters import load_parameters
from biomem.settings import load_settings
from efforts import tried
from event_logs import Access, Log, Memory, instant, logs
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from datetime import datetime

    from hypothesis import settings
    from recorded_models import World

MIND = ("memory_traces", "stm_windows")
PARAMETERS = {name: parameter.value for name, parameter in load_parameters(load_settings(environ={})).items()}
CAPACITY = PARAMETERS["working_memory_capacity"]
TARGET = PARAMETERS["homeostasis_target"]
NOW = instant(3600)

traces = st.lists(st.floats(1e-6, 50), min_size=1, max_size=12)


@tried(quick=12, thorough=400)
def test_working_memory_never_exceeds_its_capacity(world: World, effort: settings) -> None:
    # all within minutes, so that many more than seven compete
    seconds = st.integers(0, 700).map(instant)

    @effort
    @given(log=logs(most_memories=4), at=st.lists(seconds, min_size=8, max_size=30), as_of=seconds)
    def holds(log: Log, at: list[datetime], as_of: datetime) -> None:
        crowd = tuple(Memory(f"c{n}", "ada", time, content=f"item {n}") for n, time in enumerate(at))
        world.renew().pull(Log((*log.memories, *crowd), log.accesses))
        world.run("short_term_memory", as_of, only=MIND)
        at_once = world.rows("select agent_id, count(*) from wm_active_context group by agent_id")
        held = world.rows(
            "select agent_id, window_start, count(*) from stm_windows where is_in_working_memory and is_current "
            "group by agent_id, window_start"
        )
        assert all(count <= CAPACITY for *_, count in (*at_once, *held)), (at_once, held)
        # and it is full when enough was met within the span of attention
        attended = sum(as_of - timedelta(seconds=PARAMETERS["attention_window_s"]) < time <= as_of for time in at)
        assert dict(at_once).get("ada", 0) >= min(CAPACITY, attended)

    holds()


def _associate(world: World, links: list[tuple[str, str, float]]) -> None:
    """Write associations as memory_associations holds them, (a, b, trace), co-active now."""
    world.con.execute("delete from main.memory_associations")
    for one, other, trace in links:
        world.con.execute(
            "insert into main.memory_associations by name select 'ada' as agent_id, least($a, $b) as memory_a, "
            "greatest($a, $b) as memory_b, $trace as trace, 1 as coactivations, $now as first_coactive_at, "
            "$now as last_coactive_at",
            {"a": one, "b": other, "trace": trace, "now": NOW},
        )


def _normalised(world: World, held: list[float]) -> list[float]:
    """What homeostasis makes of the links of one memory, in their order."""
    _associate(world, [("hub", f"x{number:02}", trace) for number, trace in enumerate(held)])
    assert world.run("weekly_homeostasis", NOW, only=["association_homeostasis"]) == "ready"
    return [
        strength
        for (strength,) in world.rows(
            "select normalised_strength from association_homeostasis where memory_id = 'hub' "
            "order by associated_memory_id"
        )
    ]


@tried(quick=25, thorough=1000)
def test_homeostasis_holds_a_mean_link_keeps_ranks_and_ignores_scale(world: World, effort: settings) -> None:
    world.renew().pull(Log((Memory("hub", "ada", instant(0)),)))
    world.run("short_term_memory", NOW, only=MIND)
    world.run("consolidation", NOW, only=["memory_associations"])

    @effort
    @given(held=traces, equal=st.floats(1e-6, 50), scale=st.floats(1e-3, 1e3))
    def holds(held: list[float], equal: float, scale: float) -> None:
        strengths = _normalised(world, held)
        assert _normalised(world, [equal] * len(held)) == pytest.approx([TARGET] * len(held), rel=1e-12)
        # sums are taken over multiples of 1e-18, so that their order does not matter: that is the precision
        assert _normalised(world, [trace * scale for trace in held]) == pytest.approx(strengths, rel=1e-8)
        for one, strength in zip(held, strengths, strict=True):
            for other, others in zip(held, strengths, strict=True):
                assert (one < other * (1 - 1e-9)) <= (strength < others)
        mean = sum(held) / len(held)
        assert _normalised(world, [*held, mean])[-1] == pytest.approx(TARGET, rel=1e-9)

    holds()


@tried(quick=15, thorough=400)
def test_the_more_a_cue_leads_to_the_less_it_lends_and_more_accesses_lift_the_base_level(
    world: World, effort: settings
) -> None:
    @effort
    @given(
        fan=st.integers(1, 12),
        more=st.integers(1, 12),
        accessed=st.lists(st.integers(1, 250), max_size=15, unique=True),
        once_more=st.integers(1, 250),
    )
    def holds(fan: int, more: int, accessed: list[int], once_more: int) -> None:
        told = tuple(
            Memory(name, "ada", instant(0), content=f"about {name}") for name in ("cue", "target", "less", "more")
        )
        times = [("less", at) for at in accessed] + [("more", at) for at in (*accessed, once_more)]
        accesses = tuple(
            Access(f"a{n}", name, "ada", instant(at), "restudy", 3) for n, (name, at) in enumerate(sorted(times))
        )
        world.renew().pull(Log(told, accesses))
        world.run("short_term_memory", instant(260), only=MIND)
        levels = dict(world.rows("select memory_id, base_level from wm_active_context"))
        assert levels["more"] > levels["less"]
        narrow, wide = (_accessibility(world, links) for links in (fan, fan + more))
        assert wide <= narrow
        # with five links a cue lends nothing any more
        assert (wide < narrow) == (fan < 5)

    holds()


def _accessibility(world: World, fan: int) -> float:
    """Accessibility of the target when the cue beside it in mind leads to `fan` memories."""
    _associate(world, [("cue", "target", 0.5), *(("cue", f"elsewhere {n}", 0.5) for n in range(1, fan))])
    found = world.value("select accessibility from wm_active_context where memory_id = 'target'")
    return float(found)
