"""The equations in SQL are the equations in Python: each macro, rendered by dbt, against its function."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from itertools import product
from math import isclose
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import yaml
from biomem.domain import association, consolidation, homeostasis, numbers, retention, working_memory
from biomem.settings import PROJECT_ROOT
from rendered import Rendered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import duckdb


@dataclass(frozen=True)
class Parity:
    function: Callable[..., float | None]
    types: tuple[str, ...]
    arguments: tuple[tuple[Any, ...], ...]


def _grid(function: Callable[..., float | None], types: str, *values: Iterable[Any]) -> Parity:
    return Parity(function, tuple(types.split()), tuple(product(*values)))


DAYS = (None, -1.0, 0.0, 1 / 2880, 0.999999, 1.0, 1.5, 30.0, 365.25, 1e6)
STABILITIES = (None, -1.0, 0.0, 1e-5, 0.212, 2.3065, 40.0, 36500.0)
DIFFICULTIES = (None, 1.0, 2.118, 7.5, 10.0)
GRADES = (None, 0, 1, 2, 3, 4, 5)
FIRST_GRADES = (*GRADES, 0.999, 1.5, 2.000001, 3.25, 3.999, 4.001)
SHARES = (None, -0.5, 0.0, 1e-12, 0.25, 0.5, 0.9, 1.0, 1.5)
SECONDS = (None, -5.0, 0.0, 0.5, 6.0, 30.0, 3600.0, 86400.0, 1e9)
TRACES = (None, 0.0, 1e-9, 0.01, 1.0, 50.0)
ACTIVATIONS = (None, -1e6, -20.0, -2.0, 0.0, 0.35, 5.0, 1e6)

PARITIES = {
    "safe_divide": _grid(
        numbers.safe_divide, "double double", (None, -3.0, 0.0, 1e-300, 7.0), (None, 0.0, -2.0, 1e-300, 3.0)
    ),
    "clamp": _grid(numbers.clamp, "double double double", (None, -2.0, 0.0, 0.5, 1.0, 7.0), (0.0,), (1.0,)),
    "retention": _grid(retention.retention, "double double", DAYS, STABILITIES),
    "days_until_retention": _grid(retention.days_until_retention, "double double", STABILITIES, SHARES),
    "ebbinghaus_retention": _grid(retention.ebbinghaus_retention, "double", SECONDS),
    "short_term_decay": _grid(retention.short_term_decay, "double", SECONDS),
    "short_term_retention": _grid(retention.short_term_retention, "double", SECONDS),
    "recall_probability": _grid(retention.recall_probability, "double double", SECONDS, SHARES),
    "salience": _grid(
        retention.salience,
        "double integer integer integer integer integer boolean",
        *((None, -0.5, 0.0, 0.4, 1.5), (0, 3, 500), (0, 9), (0, 1), (0, 2), (0, 40), (False, True)),
    ),
    "salience_grade": _grid(retention.salience_grade, "double", (*SHARES, 0.249999, 0.499999, 0.75, 0.999999)),
    "first_stability": _grid(retention.first_stability, "double double", FIRST_GRADES, SHARES),
    "first_difficulty": _grid(retention.first_difficulty, "double", FIRST_GRADES),
    "next_difficulty": _grid(retention.next_difficulty, "double integer", (*DIFFICULTIES, 12.0), GRADES),
    "next_stability": _grid(
        retention.next_stability, "double double double integer", STABILITIES, DIFFICULTIES, DAYS, GRADES
    ),
    "restudy_stability": _grid(
        retention.restudy_stability, "double double double integer", STABILITIES, DIFFICULTIES, DAYS, GRADES
    ),
    "replay_stability": _grid(retention.replay_stability, "double", (*STABILITIES, 36000.0, 40000.0)),
    "kept_within": _grid(retention.kept_within, "bigint", (None, 0, 1, 7)),
    "base_level": Parity(
        working_memory.base_level,
        ("bigint", "double", "double[]"),
        (
            (None, 5.0, [5.0]),
            (0, None, []),
            (1, 0.0, [0.0]),
            (3, 90.0, None),
            (1, 90.0, [90.0]),
            (3, 90.0, [90.0, 30.0, 0.01]),
            (10, 1e6, [float(age) for age in range(1, 11)]),
            (11, 1e6, [float(age) for age in range(1, 11)]),
            (1_000_000, 1e9, [float(age) for age in range(1, 11)]),
            (12, 10.0, [10.0] * 10),
            (4, 60.0, []),
            (4, 0.0, []),
        ),
    ),
    "fan_strength": _grid(working_memory.fan_strength, "double", (None, 0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 1e9)),
    "accessibility": _grid(working_memory.accessibility, "double double", SHARES, (None, 0.0, 0.48, 2.0)),
    "activation_probability": _grid(working_memory.activation_probability, "double", ACTIVATIONS),
    "retrieval_latency": _grid(working_memory.retrieval_latency, "double", ACTIVATIONS),
    "coactivation": _grid(association.coactivation, "double", SECONDS),
    "contiguity": _grid(association.contiguity, "bigint", (0, 1, -1, 2, 7)),
    "strengthen_associations": _grid(association.strengthen_associations, "double double", TRACES, SHARES),
    "synaptic_decay": _grid(association.synaptic_decay, "double double", TRACES, (None, -1.0, 0.0, 1.0, 693.0, 1e5)),
    "calculate_hebbian_strength": _grid(association.calculate_hebbian_strength, "double", (*TRACES, -1.0)),
    "synaptic_homeostasis": _grid(homeostasis.synaptic_homeostasis, "double double", TRACES, TRACES),
    "association_reach": _grid(consolidation.association_reach, "integer", (None, 0, 1, 2, 3)),
    "replay_need": _grid(consolidation.replay_need, "double double", (None, 0.0, 1.0, 2.0, 3.0, 4.0, 365.0), SHARES),
    "replay_priority": _grid(consolidation.replay_priority, "double double double", SHARES, SHARES, SHARES),
    "consolidation_gain": _grid(consolidation.consolidation_gain, "double", (None, -1.0, 0.0, 1e-4, 0.5, 2.0)),
    "consolidation_strength": _grid(
        consolidation.consolidation_strength, "double", (None, -1.0, 0.0, 1e-4, 1.204, 40.0)
    ),
}

RENAMED = {
    # keyword of a function -> the parameter it defaults to, where the function needs fewer words
    **{"scale_per_s": "ebbinghaus_scale_per_s", "exponent": "ebbinghaus_exponent", "floor": "short_term_floor"},
    "duration_s": "short_term_memory_duration",
}

HELPERS = {
    # rendered inside the macros above, or not an equation
    *("parameter", "fsrs_weight", "double_literal", "at_least", "retention_factor", "raw_first_difficulty"),
    *("salience_terms", "same_day_stability", "lapse_stability", "recall_stability", "working_memory_capacity"),
    *("validate_parameters", "require_in_range", "refuse_parameter"),
}


@pytest.fixture(scope="session")
def compiled() -> dict[str, str]:
    rendered = Rendered()
    return {
        name: f"select ({rendered(name, *(f'a{index}' for index in range(len(parity.types))))})::double as result "
        "from cases order by number"
        for name, parity in PARITIES.items()
    }


def expected(function: Callable[..., float | None], arguments: tuple[Any, ...]) -> float | None:
    """What SQL must give: NULL where Python has no answer, because an argument is missing or outside the domain."""
    try:
        return function(*arguments)
    except (TypeError, ValueError):
        return None


def same(value: float | None, want: float | None) -> bool:
    if value is None or want is None:
        return value is want
    return isclose(value, want, rel_tol=1e-12)


@pytest.mark.parametrize("name", PARITIES)
def test_the_macro_agrees_with_the_function(
    name: str, compiled: dict[str, str], con: duckdb.DuckDBPyConnection
) -> None:
    parity = PARITIES[name]
    columns = [pa.array(values) for values in zip(*parity.arguments, strict=True)]
    con.register("arrow_cases", pa.table(columns, names=[f"a{index}" for index in range(len(columns))]))
    typed = ", ".join(f"a{index}::{kind} as a{index}" for index, kind in enumerate(parity.types))
    con.execute(
        f"create or replace temp table cases as select {typed}, row_number() over () as number from arrow_cases"
    )
    got = [row[0] for row in con.execute(compiled[name]).fetchall()]
    wrong = [
        f"{name}{arguments}: SQL {value}, Python {want}"
        for arguments, value in zip(parity.arguments, got, strict=True)
        if not same(value, want := expected(parity.function, arguments))
    ]
    assert not wrong, wrong[:5]


@pytest.mark.parametrize("profile", ["miller", "cowan"])
def test_capacity_follows_the_profile(profile: str) -> None:
    shipped = Rendered().vars["working_memory_capacity"]
    expected_capacity = working_memory.working_memory_capacity(profile, shipped)
    assert int(Rendered(working_memory_profile=profile)("working_memory_capacity")) == expected_capacity


@pytest.mark.parametrize("budget", [0.25, 0.1, 1.0, 1, 4, 1_000_000])
def test_the_budget_is_a_share_or_a_count(budget: float, con: duckdb.DuckDBPyConnection) -> None:
    expression = Rendered(memory_budget=budget)("kept_within", "n")
    kept = [row[0] for row in con.execute(f"select {expression} from unnest([0, 1, 7, 30, 1000]) as _(n)").fetchall()]
    assert kept == [retention.kept_within(n, memory_budget=budget) for n in (0, 1, 7, 30, 1000)]


def test_every_macro_has_a_parity_case() -> None:
    macros = {path.stem for path in (PROJECT_ROOT / "dbt" / "macros" / "equations").glob("*.sql")}
    assert not (macros - set(PARITIES) - HELPERS), "equations without a parity case"


def test_the_shipped_parameters_are_the_functions_defaults() -> None:
    variables = yaml.safe_load((PROJECT_ROOT / "dbt" / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
    assert tuple(variables["fsrs_weights"]) == retention.FSRS6_WEIGHTS
    assert tuple(variables["salience_weights"]) == retention.SALIENCE_WEIGHTS
    for parity in PARITIES.values():
        for name, parameter in signature(parity.function).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY and name in RENAMED:
                assert variables[RENAMED[name]] == parameter.default, name
            elif parameter.kind is parameter.KEYWORD_ONLY and name not in {"weights", "salience_weights"}:
                assert variables[name] == parameter.default, name


def test_what_a_text_does_not_tell_adds_nothing_to_its_salience(con: duckdb.DuckDBPyConnection) -> None:
    rendered = Rendered()
    nulls = rendered("salience", "null", *["null"] * 5, "null")
    zeros = rendered("salience", "null", *["0"] * 5, "false")
    assert con.execute(f"select {nulls}, {zeros}").fetchall() == [(0.0, 0.0)]
