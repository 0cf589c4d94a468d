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
FOILS = Subject("Anderson1974 foils", FAN.source, in_sample=False, model=MODEL, macros=FAN.macros)
PRACTICE = Subject(
    dataset="Anderson1981 recall",
    source="Anderson 1981, in the ACT-R tutorial, unit 4",
    in_sample=True,
    model=MODEL,
    macros=("base_level", "activation_probability"),
)
PRACTICE_TIME = Subject(
    "Anderson1981 latency", PRACTICE.source, in_sample=False, model=MODEL, macros=("base_level", "retrieval_latency")
)
ALONE = Subject(
    "Ebbinghaus1885 by activation alone",
    "Ebbinghaus 1885 (1913 translation, pp. 76-77); Murre & Dros 2015, table 3",
    in_sample=False,
    model=MODEL,
    macros=PRACTICE.macros,
)


def oracles(bench: Bench) -> list[Oracle]:
    """Recall times under fan, recall over eight trials, and the failure of activation on long delays."""
    targets = Fit.of([row[2:] for row in fan_predictions(bench, "target")])
    foils = Fit.of([row[2:] for row in fan_predictions(bench, "foil")])
    practice = practice_predictions(bench)
    recall = Fit.of([(observed, predicted) for _, observed, predicted, _, _ in practice])
    latency = Fit.of([(observed, predicted) for _, _, _, observed, predicted in practice])
    alone = Fit.of(_retention_by_activation(bench))
    return [
        bench.judge(FAN, "correlation", targets.correlation, n=targets.n, low=0.85, fit=targets),
        bench.judge(FAN, "RMSE in s", targets.rmse, n=targets.n, high=0.05, fit=targets),
        # rejecting a foil is another process than recall: only the direction of the effect is claimed
        bench.judge(FOILS, "correlation", foils.correlation, n=foils.n, low=0.5, fit=foils),
        bench.judge(PRACTICE, "R2", recall.r2, n=recall.n, low=0.9, fit=recall),
        # the intercept and scale of times belong to the fan task: only the course over trials is claimed
        bench.judge(PRACTICE_TIME, "correlation", latency.correlation, n=latency.n, low=0.9, fit=latency),
        bench.judge(
            ALONE, "R2 (must fail: activation ranks, it does not retain)", alone.r2, n=alone.n, high=0.5, fit=alone
        ),
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


def _retention_by_activation(bench: Bench) -> list[Row]:
    activation = bench.equations("base_level", "1", "elapsed_s", "[elapsed_s]")
    predicted = bench.equations("activation_probability", activation)
    return bench.rows(f"select observed, {predicted} from retention where dataset = 'Ebbinghaus1885'")
