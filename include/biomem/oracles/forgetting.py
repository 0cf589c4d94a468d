"""Forgetting over seconds, minutes, days and a month: the curves of `retention_curve`, nothing refitted."""

from __future__ import annotations

from math import log

from biomem.oracles.bench import Bench, Fit, Row
from biomem.oracles.result import Oracle, Subject

CURVES = "retention_curve"
EXPONENT_STEPS = 4000


def oracles(bench: Bench) -> list[Oracle]:
    """Errors of the shipped curves, and power against exponential form."""
    return [*_curves(bench), *_forms(bench)]


def predictions(bench: Bench, macro: str, dataset: str) -> list[Row]:
    """(elapsed_s, observed, predicted) of one data set under one curve."""
    predicted = bench.equations(macro, "elapsed_s")
    return bench.rows(
        f"select elapsed_s, observed, {predicted} from retention where dataset = $dataset order by elapsed_s",
        {"dataset": dataset},
    )


def _curves(bench: Bench) -> list[Oracle]:
    found = []
    for dataset, macro, in_sample, lowest_r2, highest_rmse in (
        ("Ebbinghaus1885", "ebbinghaus_retention", True, 0.97, 0.02),
        ("Mack1991", "ebbinghaus_retention", False, None, 0.10),
        ("Seitz1991", "ebbinghaus_retention", False, None, 0.10),
        ("Dros2015", "ebbinghaus_retention", False, None, 0.10),
        ("Mosteller_wordrecall", "ebbinghaus_retention", False, 0.85, 0.10),
        ("Murdock1961_STM", "short_term_retention", True, None, 0.07),
    ):
        subject = Subject(dataset, _source(bench, dataset), in_sample, CURVES, (macro,))
        fit = Fit.of([row[1:] for row in predictions(bench, macro, dataset)])
        if lowest_r2 is not None:
            found.append(bench.judge(subject, "R2", fit.r2, n=fit.n, low=lowest_r2, fit=fit))
        found.append(bench.judge(subject, "RMSE", fit.rmse, n=fit.n, high=highest_rmse, fit=fit))
    return found


def _forms(bench: Bench) -> list[Oracle]:
    """Both forms get an amplitude and one shape constant: the power curve its exponent, the exponential its rate.

    Delays beyond any a person has make the 1 in `1 + scale * t` vanish, which leaves the pure power of time.
    """
    power = bench.equations("ebbinghaus_retention", "elapsed_s * 1e9")
    exponential = bench.equations("short_term_decay", f"elapsed_s * pow(10, -9 + 9.0 * step / {EXPONENT_STEPS})")
    residuals = f"""
        with shapes as (
            select 'power' as form, dataset, observed, step, pow({power}, step / 500.0) as shape
            from retention, (select unnest(range(1, {EXPONENT_STEPS})) as step)
            union all
            select 'exponential', dataset, observed, step, {exponential}
            from retention, (select unnest(range(1, {EXPONENT_STEPS})) as step)
        ), amplitudes as (
            select *, sum(shape * observed) over same / nullif(sum(shape * shape) over same, 0) as amplitude
            from shapes
            window same as (partition by form, dataset, step)
        ), fits as (
            select form, dataset, count(*) as n, sum(pow(observed - amplitude * shape, 2)) as residual
            from amplitudes
            group by form, dataset, step
        )
        select dataset, any_value(n), min(residual) filter (form = 'exponential'), min(residual) filter (form = 'power')
        from fits
        group by dataset
    """
    rows = {dataset: figures for dataset, *figures in bench.rows(residuals)}
    found = []
    for dataset in ("Ebbinghaus1885", "Mack1991", "Seitz1991", "Mosteller_wordrecall"):
        n, exponential_residual, power_residual = rows[dataset]
        subject = Subject(dataset, _source(bench, dataset), True, CURVES, ("ebbinghaus_retention", "short_term_decay"))
        # both fits spend two constants, so the difference of the AICs is that of the log likelihoods
        advantage = n * log(exponential_residual / power_residual)
        found.append(bench.judge(subject, "dAIC power over exponential", advantage, n=n, low=8))
    return found


def _source(bench: Bench, dataset: str) -> str:
    return str(bench.rows("select any_value(source) from retention where dataset = $d", {"d": dataset})[0][0])
