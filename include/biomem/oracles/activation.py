"""Fan and practice: activation against times and probabilities of recall, and why it may rank but not retain."""

from __future__ import annotations

from biomem.oracles.bench import Bench, Fit, Row
from biomem.oracles.result import Oracle, Subject

MODEL = "wm_active_context"
TRIAL_S = 200
REFERENCES_PER_TRIAL = 2

FAN = Subject(
    dataset="Anderson1974 targets",
    source="Anderson 1974, in the ACT-R tutorial, unit 5",
    in_sample=True,
    model=MODEL,
    macros=("fan_strength", "retrieval_latency"),
)
FOILS = Subject(
    "Anderson1974 foils",
    FAN.source,
    in_sample=False,
    model=MODEL,
    macros=FAN.macros,
    note="rejecting what one never learnt is another process: only the direction is right",
)
PRACTICE = Subject(
    dataset="Anderson1981 recall",
    source="Anderson 1981, in the ACT-R tutorial, unit 4",
    in_sample=True,
    model=MODEL,
    macros=("base_level", "activation_probability"),
)
PRACTICE_TIME = Subject(
    "Anderson1981 latency",
    PRACTICE.source,
    in_sample=False,
    model=MODEL,
    macros=("base_level", "retrieval_latency"),
    note="the course over trials is right, the size is not: intercept and factor belong to the fan task",
)
LONG_TABLES = ("Ebbinghaus1885", "Mack1991", "Seitz1991", "Dros2015", "Mosteller_wordrecall")


def oracles(bench: Bench) -> list[Oracle]:
    """Recall times under fan, recall over eight trials, and the failure of activation on long delays."""
    targets = Fit.of([row[2:] for row in fan_predictions(bench, "target")])
    foils = Fit.of([row[2:] for row in fan_predictions(bench, "foil")])
    practice = practice_predictions(bench)
    recall = Fit.of([(observed, predicted) for _, observed, predicted, _, _ in practice])
    latency = Fit.of([(observed, predicted) for _, _, _, observed, predicted in practice])
    return [
        bench.judge(FAN, "correlation", targets.correlation, n=targets.n, low=0.85, fit=targets),
        bench.judge(FAN, "RMSE in s", targets.rmse, n=targets.n, high=0.05, fit=targets),
        # rejecting a foil is another process than recall: only the direction of the effect is claimed
        bench.judge(FOILS, "correlation", foils.correlation, n=foils.n, low=0.5, fit=foils),
        bench.judge(PRACTICE, "R2", recall.r2, n=recall.n, low=0.9, fit=recall),
        # the intercept and scale of times belong to the fan task: only the course over trials is claimed
        bench.judge(PRACTICE_TIME, "correlation", latency.correlation, n=latency.n, low=0.9, fit=latency),
        *_alone(bench),
    ]


def fan_predictions(bench: Bench, probe: str) -> list[Row]:
    """(person's fan, place's fan, observed seconds, predicted seconds)."""
    weight = bench.equations("parameter", "attention_weight")
    spread = " + ".join(f"{weight} * {bench.equations('fan_strength', fan)}" for fan in ("person_fan", "place_fan"))
    return bench.rows(
        f"""
        select person_fan, place_fan, observed_s, {bench.equations("retrieval_latency", spread)}
        from fan where probe = $probe order by person_fan, place_fan
        """,
        {"probe": probe},
    )


def practice_predictions(bench: Bench) -> list[Row]:
    """(trial, observed and predicted probability of recall, observed and predicted seconds)."""
    references = f"(trial - 1) * {REFERENCES_PER_TRIAL}"
    ages = (
        f"list_transform(range({references}), lambda reference: "
        f"(1 + reference // {REFERENCES_PER_TRIAL}) * {TRIAL_S}::double)"
    )
    activation = bench.equations("base_level", references, f"(trial - 1) * {TRIAL_S}", f"({ages})[:10]")
    return bench.rows(f"""
        with trials as (select *, {activation} as activation from practice)
        select
            trial,
            observed_probability, {bench.equations("activation_probability", "activation")},
            observed_latency_s, {bench.equations("retrieval_latency", "activation")}
        from trials order by trial
    """)


def _alone(bench: Bench) -> list[Oracle]:
    """Activation without a stability must fail: forgotten by the next morning, and best learnt without any gap."""
    recalled = bench.equations("activation_probability", bench.equations("base_level", "1", "elapsed_s", "[elapsed_s]"))
    found = []
    for dataset in LONG_TABLES:
        rows = bench.rows(f"select observed, {recalled}, source from retention where dataset = $of", {"of": dataset})
        fit = Fit.of([row[:2] for row in rows])
        subject = _subject_alone(f"{dataset} by activation alone", rows[0][2])
        found.append(bench.judge(subject, "R2 (must fail: it ranks only)", fit.r2, n=fit.n, high=0.5, fit=fit))
    twice = bench.equations("base_level", "2", "late_s + gap_s", "[late_s, late_s + gap_s]")
    gaps = bench.rows(f"""
        select arg_max(gap_s / 86400, {twice}), any_value(source) from (
            select retention_interval_days * 86400.0 as late_s, gap_tenths * 8640.0 as gap_s, source
            from spacing, (select unnest(range(1, 1500)) as gap_tenths)
        ) group by late_s
    """)
    subject = _subject_alone("Cepeda2008 by activation alone", gaps[0][1])
    longest = max(gap for gap, _ in gaps)
    return [*found, bench.judge(subject, "best gap in days (must fail: the least)", longest, n=len(gaps), high=0.1)]


def _subject_alone(dataset: str, source: str) -> Subject:
    return Subject(dataset, source, in_sample=False, model=MODEL, macros=PRACTICE.macros)
