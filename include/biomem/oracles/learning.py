"""What repetition does: spacing, testing against restudy, and the reference history of FSRS-6."""

from __future__ import annotations

from itertools import pairwise
from math import log, sqrt
from typing import TYPE_CHECKING

from biomem.oracles.bench import Fit
from biomem.oracles.result import Oracle, Subject

if TYPE_CHECKING:
    from biomem.oracles.bench import Bench, Row

FOLD = "memory_traces"
GOOD, AGAIN = "3", "1"
DAY_S = 86400
SESSION_S = 420

SPACING = Subject(
    dataset="Cepeda2008",
    source="Cepeda et al. 2008, Psychological Science 19",
    in_sample=False,
    model=FOLD,
    macros=("first_stability", "first_difficulty", "next_stability", "retention"),
    confidence="medium",
)
TESTING = Subject(
    dataset="RoedigerKarpicke2006_E1",
    source="Roediger & Karpicke 2006, experiment 1",
    in_sample=True,
    model=FOLD,
    macros=("first_stability", "first_difficulty", "next_stability", "restudy_stability", "retention"),
    confidence="medium",
    note="only the order is calibrated, and right; the size is not: after 2 days people gain .14 by a test, we .005",
)
REFERENCE = Subject(
    dataset="FSRS6 reference history",
    source="FSRS-6 reference implementation (py-fsrs 6.3), default weights",
    in_sample=True,
    model=FOLD,
    macros=("first_stability", "first_difficulty", "next_stability", "next_difficulty"),
)


def oracles(bench: Bench) -> list[Oracle]:
    """Optimal gaps, the testing effect, and the stabilities that FSRS-6 must give."""
    return [*_spacing(bench), *_testing(bench), *_reference(bench)]


def optimal_gaps(bench: Bench) -> list[Row]:
    """(retention interval, observed best gap, best gap of the model), all in days, by interval."""
    return bench.rows(f"""
        with best as ({recall_by_gap(bench)})
        select retention_interval_days, any_value(observed_gap_days), arg_max(gap_days, recall)
        from best group by retention_interval_days order by retention_interval_days
    """)


def recall_by_gap(bench: Bench) -> str:
    """SQL: final recall for gaps of a tenth of a day and up between two sessions, by published retention interval.

    The second session is a retrieval: it succeeds with the probability of recall at the gap, else it relearns.
    """
    equations = bench.equations
    second = {
        grade: equations("next_stability", "stability_days", "difficulty", "gap_days", grade) for grade in (GOOD, AGAIN)
    }
    return f"""
        select
            retention_interval_days, observed_gap_days, gap_days,
            recalled * {equations("retention", "retention_interval_days", "after_success")}
            + (1 - recalled) * {equations("retention", "retention_interval_days", "after_failure")} as recall
        from (
            select *, {second[GOOD]} as after_success, {second[AGAIN]} as after_failure,
                {equations("retention", "gap_days", "stability_days")} as recalled
            from (
                select *, gap_tenths / 10 as gap_days,
                    {equations("first_stability", GOOD, "0")} as stability_days,
                    {equations("first_difficulty", GOOD)} as difficulty
                from spacing, (select unnest(range(1, 1500)) as gap_tenths)
            )
        )
    """


def _spacing(bench: Bench) -> list[Oracle]:
    rows = optimal_gaps(bench)
    gaps = [gap for _, _, gap in rows]
    shares = [gap / interval for interval, _, gap in rows]
    error = sqrt(sum(log(gap / observed) ** 2 for _, observed, gap in rows) / len(rows))
    n = len(rows)
    return [
        bench.judge(SPACING, "log-RMSE of the best gap", error, n=n, high=0.35),
        bench.judge(SPACING, "growth of the best gap with the interval, least", _least_ratio(gaps), n=n, low=1.01),
        bench.judge(SPACING, "fall of gap over interval, least", _least_ratio(shares[::-1]), n=n, low=1.01),
        bench.judge(SPACING, "best gap in days, shortest (interior)", min(gaps), n=n, low=0.2),
        bench.judge(SPACING, "best gap in days, longest (interior)", max(gaps), n=n, high=140),
    ]


def testing_predictions(bench: Bench) -> list[Row]:
    """(elapsed_s, observed restudy, observed test, predicted restudy, predicted test) of the final test.

    A passage read once is encoded as "again". A session later it is read anew, or recalled without feedback; what is
    not recalled then stays lost (Kornell, Bjork & Garcia 2011): the model's test group keeps its recalled share only.
    """
    equations = bench.equations
    first_stability, difficulty = equations("first_stability", AGAIN, "0"), equations("first_difficulty", AGAIN)
    elapsed = f"{SESSION_S} / {DAY_S}"
    restudied = equations("restudy_stability", first_stability, difficulty, elapsed)
    tested = equations("next_stability", first_stability, difficulty, elapsed, GOOD)
    delay = f"elapsed_s / {DAY_S}"
    return bench.rows(f"""
        with observed as (
            pivot (select dataset, elapsed_s, observed from retention where dataset like 'RoedigerKarpicke%')
            on dataset using any_value(observed)
        )
        select
            elapsed_s, RoedigerKarpicke2006_E1_restudy, RoedigerKarpicke2006_E1_test,
            {equations("retention", delay, restudied)},
            {equations("retention", elapsed, first_stability)} * {equations("retention", delay, tested)}
        from observed order by elapsed_s
    """)


def _testing(bench: Bench) -> list[Oracle]:
    rows = testing_predictions(bench)
    fit = Fit.of([pair for _, study, test, *predicted in rows for pair in zip((study, test), predicted, strict=True)])
    (_, *_, restudy, tested), *later = rows
    return [
        bench.judge(TESTING, "restudy minus test at 5 min", restudy - tested, n=fit.n, low=1e-6, fit=fit),
        *(
            bench.judge(
                TESTING, f"test minus restudy at {elapsed_s / DAY_S:g} d", test - study, n=fit.n, low=1e-6, fit=fit
            )
            for elapsed_s, _, _, study, test in later
        ),
    ]


def reference_predictions(bench: Bench) -> list[Row]:
    """(step, published stability, reference's, that of the shipped equations folded over the history), in days.

    The published stabilities have four decimals; the reference's are those of py-fsrs, to all its digits.
    """
    equations = bench.equations
    following = equations("next_stability", "stability_days", "difficulty", "(event.day - folded.day)", "event.grade")
    return bench.rows(f"""
        with recursive folded as (
            select step, day, {equations("first_stability", "grade", "0")} as stability_days,
                {equations("first_difficulty", "grade")} as difficulty
            from fsrs6 where step = 1
            union all
            select event.step, event.day,
                {following},
                {equations("next_difficulty", "difficulty", "event.grade")}
            from folded join fsrs6 as event on event.step = folded.step + 1
        )
        select step, published_days, reference_days, stability_days
        from folded join fsrs6 using (step) order by step
    """)


def _reference(bench: Bench) -> list[Oracle]:
    rows = reference_predictions(bench)
    error = max(abs(reference - predicted) for _, _, reference, predicted in rows)
    other = sum(round(predicted, 4) != published for _, published, _, predicted in rows)
    return [
        bench.judge(REFERENCE, "largest error in days", error, n=len(rows), high=1e-6),
        bench.judge(REFERENCE, "steps that differ from the published four decimals", other, n=len(rows), high=0),
    ]


def _least_ratio(values: list[float]) -> float:
    return min(later / earlier for earlier, later in pairwise(values))
