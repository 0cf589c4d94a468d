"""The forgetting curves and FSRS-6 against their own laws."""

from __future__ import annotations

import pytest
from biomem.domain import retention as r
from hypothesis import given
from hypothesis import strategies as st

STABILITY = st.floats(1e-5, 36500)
DAYS = st.floats(0, 40000)
DIFFICULTY = st.floats(1, 10)
GRADE = st.sampled_from([1, 2, 3, 4])


@given(STABILITY)
def test_retention_is_nine_tenths_after_one_stability(stability: float) -> None:
    assert r.retention(stability, stability) == pytest.approx(0.9, rel=1e-12)


@given(DAYS, st.floats(1e-3, 1000), st.floats(0.01, 10000))
def test_retention_falls_with_time_and_rises_with_stability(days: float, more: float, stability: float) -> None:
    now = r.retention(days, stability)
    assert 0 < r.retention(days + more, stability) < now <= 1
    assert r.retention(days, stability * 2) >= now


@given(STABILITY, st.floats(0.3, 0.999))
def test_days_until_retention_is_the_inverse_of_retention(stability: float, wanted: float) -> None:
    assert r.retention(r.days_until_retention(stability, wanted), stability) == pytest.approx(wanted, rel=1e-9)


@given(st.floats(0, 1e9), st.floats(0, 1))
def test_two_stores_never_yield_less_than_the_long_term_one(elapsed_s: float, retained: float) -> None:
    assert retained - 1e-12 <= r.recall_probability(elapsed_s, retained) <= 1


@given(STABILITY, DIFFICULTY, DAYS, st.sampled_from([2, 3, 4]))
def test_a_successful_retrieval_never_lowers_stability(s: float, d: float, days: float, grade: int) -> None:
    assert r.next_stability(s, d, days, grade) >= s * (1 - 1e-12)


@given(st.floats(0.01, 36500), st.floats(1, 9.9), st.floats(1, 400), st.floats(1, 400))
def test_a_later_retrieval_raises_stability_more(s: float, d: float, days: float, later: float) -> None:
    assert r.next_stability(s, d, days + later, 3) > r.next_stability(s, d, days, 3)


@given(STABILITY, DIFFICULTY, DAYS)
def test_restudy_gains_at_most_what_a_retrieval_gains(s: float, d: float, days: float) -> None:
    assert s * (1 - 1e-12) <= r.restudy_stability(s, d, days) <= r.next_stability(s, d, days, 3) * (1 + 1e-12)


@given(STABILITY)
def test_replay_strengthens_but_not_beyond_a_hundred_years(stability: float) -> None:
    assert stability <= r.replay_stability(stability) <= 36500


def test_forgetting_crosses_the_threshold_when_the_documentation_says() -> None:
    days = [r.days_until_retention(r.first_stability(grade, 0), 0.6) for grade in (1, 2, 3, 4)]
    assert [round(day) for day in days] == [6, 35, 62, 224]


@pytest.mark.parametrize("stability", [0.0, -1.0, float("nan")])
def test_a_stability_that_is_not_positive_is_refused(stability: float) -> None:
    with pytest.raises(ValueError, match="stability_days must be positive"):
        r.retention(1, stability)


def test_an_unknown_grade_is_refused() -> None:
    with pytest.raises(ValueError, match="grade must lie between 1 "):
        r.first_stability(5, 0)
