"""The calibration of replay: what becomes long-term, when, and what never does."""

from __future__ import annotations

from itertools import product
from math import floor

import pytest
from biomem.domain.consolidation import (
    consolidation_gain,
    consolidation_strength,
    replay_need,
    replay_priority,
)
from biomem.domain.retention import (
    first_difficulty,
    first_stability,
    next_difficulty,
    next_stability,
    replay_stability,
    retention,
)
from hypothesis import given
from hypothesis import strategies as st

FLOOR, THRESHOLD, CYCLES_PER_DAY = 1e-4, 0.7, 16


def sleep(uses: list[float], *, grade: int = 3, arousal: float = 0.0, until: float) -> tuple[float | None, int]:
    """When a memory used at these days (the first is its encoding) becomes long-term, and after how many replays."""
    stability, difficulty, last = first_stability(grade, arousal), first_difficulty(grade), uses[0]
    waiting, total, replays, replayed_on, days_used = uses[1:], 0.0, 0, None, {floor(uses[0])}
    for cycle in range(floor(uses[0] * CYCLES_PER_DAY) + 1, floor(until * CYCLES_PER_DAY)):
        now = cycle / CYCLES_PER_DAY
        while waiting and waiting[0] < now:
            stability = next_stability(stability, difficulty, waiting[0] - last, 3)
            difficulty = next_difficulty(difficulty, 3)
            last = waiting.pop(0)
            days_used.add(floor(last))
        priority = replay_priority(retention(now - last, stability), replay_need(len(days_used), 0), arousal)
        if priority >= FLOOR and replayed_on != floor(now):
            total, stability = total + consolidation_gain(priority), replay_stability(stability)
            replays, replayed_on = replays + 1, floor(now)
            if consolidation_strength(total) >= THRESHOLD:
                return now, replays
    return None, replays


@pytest.mark.parametrize("arousal", [0.0, 1.0])
@pytest.mark.parametrize("grade", [1, 2, 3, 4])
def test_a_memory_met_once_is_never_replayed(grade: int, arousal: float) -> None:
    assert sleep([0.4], grade=grade, arousal=arousal, until=2000) == (None, 0)


@pytest.mark.parametrize("grade", [1, 2, 3, 4])
@pytest.mark.parametrize(("first_gap", "second_gap"), product([1, 3, 7, 30], repeat=2))
def test_a_memory_used_on_three_days_is_long_term_within_three_nights(
    grade: int, first_gap: int, second_gap: int
) -> None:
    for hour, arousal in product([0.02, 0.9], [0.0, 1.0]):
        uses = [hour, first_gap + hour, first_gap + second_gap + hour]
        promoted, _ = sleep(uses, grade=grade, arousal=arousal, until=uses[-1] + 5)
        assert promoted is not None
        # the third night ends on the morning of the third day after
        assert promoted <= first_gap + second_gap + 3.25


def test_a_memory_used_on_two_days_rests_until_it_fades_and_then_takes_about_ten_replays() -> None:
    promoted, replays = sleep([0.5, 7.5], until=200)
    assert promoted is not None
    assert promoted > 7.5 + 10
    assert 7 <= replays <= 12


@given(st.integers(1, 400), st.floats(0, 1), st.floats(0, 1))
def test_need_rises_with_use_and_reach_and_stays_below_one(days: int, reach: float, more: float) -> None:
    need = replay_need(days, reach)
    assert 0 <= need <= 1
    assert replay_need(days + 1, reach) >= need * (1 - 1e-12)
    assert replay_need(days, min(1.0, reach + more)) >= need * (1 - 1e-12)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_priority_lies_between_zero_and_two(retained: float, need: float, arousal: float) -> None:
    assert 0 <= replay_priority(retained, need, arousal) <= 2
