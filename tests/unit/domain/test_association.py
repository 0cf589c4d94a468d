"""Associations, homeostasis and activation keep to their bounds and orders."""

from __future__ import annotations

import pytest
from biomem.domain.association import (
    calculate_hebbian_strength,
    coactivation,
    contiguity,
    strengthen_associations,
    synaptic_decay,
)
from biomem.domain.homeostasis import synaptic_homeostasis
from biomem.domain.working_memory import (
    accessibility,
    activation_probability,
    base_level,
    fan_strength,
    working_memory_capacity,
)
from hypothesis import given
from hypothesis import strategies as st

TRACE = st.floats(1e-6, 30)


@given(st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 1)), min_size=1, max_size=20), st.randoms())
def test_a_trace_is_the_same_in_any_order_at_once_or_step_by_step(events, chance) -> None:  # type: ignore[no-untyped-def]
    end = 5000.0
    at_once = sum(0.01 * strength * synaptic_decay(1, end - hour) for hour, strength in events)
    trace, last = 0.0, 0.0
    for hour, strength in sorted(events):
        trace, last = strengthen_associations(synaptic_decay(trace, hour - last), strength), hour
    assert synaptic_decay(trace, end - last) == pytest.approx(at_once, rel=1e-9, abs=1e-15)
    chance.shuffle(events)
    assert sum(0.01 * c * synaptic_decay(1, end - hour) for hour, c in events) == pytest.approx(at_once, rel=1e-12)


def test_half_of_a_trace_is_left_after_twenty_nine_days() -> None:
    assert synaptic_decay(1, 28.88 * 24) == pytest.approx(0.5, abs=1e-3)


@given(TRACE, TRACE)
def test_strength_is_bounded_and_keeps_order(trace: float, more: float) -> None:
    assert 0 <= calculate_hebbian_strength(trace) <= calculate_hebbian_strength(trace + more) <= 1


@given(st.floats(0, 1e6), st.integers(1, 50))
def test_nearer_is_bound_more(gap_s: float, lag: int) -> None:
    assert 0 <= coactivation(gap_s + 1) <= coactivation(gap_s) <= 1
    assert 0 < contiguity(lag + 1) < contiguity(lag) <= 1
    assert contiguity(-lag) == contiguity(lag)


@given(TRACE)
def test_homeostasis_holds_the_mean_link_at_its_target(mean: float) -> None:
    assert synaptic_homeostasis(mean, mean, homeostasis_target=0.3) == pytest.approx(0.3, rel=1e-12)


@given(TRACE, TRACE, TRACE, st.floats(0.01, 100))
def test_homeostasis_keeps_ranks_and_ignores_scale(one: float, other: float, mean: float, scale: float) -> None:
    scaled = synaptic_homeostasis(one, mean)
    assert synaptic_homeostasis(one * scale, mean * scale) == pytest.approx(scaled, rel=1e-9)
    assert (scaled <= synaptic_homeostasis(other, mean)) == (one <= other) or scaled == pytest.approx(
        synaptic_homeostasis(other, mean), rel=1e-12
    )


@given(st.lists(st.floats(1, 1e7), min_size=1, max_size=10), st.floats(1, 1e7))
def test_more_accesses_mean_more_activation(ages: list[float], another: float) -> None:
    before = base_level(len(ages), max(ages), ages)
    after = base_level(len(ages) + 1, max(*ages, another), [*ages, another])
    assert before is not None
    assert after is not None
    assert after > before


def test_the_hybrid_base_level_is_close_to_the_full_sum() -> None:
    ages = [float(600 * step) for step in range(1, 101)]
    full = base_level(100, ages[-1], ages)
    hybrid = base_level(100, ages[-1], ages[:10])
    assert hybrid == pytest.approx(full, abs=0.02)


@given(st.floats(1, 1000), st.floats(0.01, 100), st.floats(0.01, 0.99))
def test_more_fan_means_less_access(fan: float, more: float, retained: float) -> None:
    assert fan_strength(fan + more) <= fan_strength(fan)
    assert accessibility(retained, fan_strength(fan + more)) <= accessibility(retained, fan_strength(fan))


@given(st.floats(0.001, 0.999))
def test_without_a_cue_a_memory_is_recalled_as_well_as_it_is_retained(retained: float) -> None:
    assert activation_probability(accessibility(retained, 0)) == pytest.approx(retained, rel=1e-9)


def test_capacity_follows_the_profile() -> None:
    assert (working_memory_capacity("miller"), working_memory_capacity("cowan")) == (7, 4)
    with pytest.raises(ValueError, match="miller or cowan"):
        working_memory_capacity("elephant")
