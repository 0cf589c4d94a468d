"""The shipped model meets every published bound, and the command line says so."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from biomem.domain.retention import ebbinghaus_retention, retention, short_term_retention
from biomem.oracles.bench import Fit
from biomem.oracles.report import run_oracles
from biomem.oracles.result import Oracle
from biomem.oracles.tables import TABLES, connect
from biomem.settings import load_settings


def biomem(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from biomem.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def oracles() -> list[Oracle]:
    return run_oracles(load_settings())


def test_every_bound_is_met(oracles: list[Oracle]) -> None:
    missed = [f"{o.subject.dataset}: {o.measure} is {o.value:.4g}, bound {o.bound}" for o in oracles if not o.passed]
    assert not missed, missed


def test_every_table_is_held_against_the_model(oracles: list[Oracle]) -> None:
    sources = {oracle.subject.source for oracle in oracles}
    with connect() as connection:
        for table in TABLES:
            for (source,) in connection.execute(f"select distinct source from {table}").fetchall():
                assert source in sources, f"no oracle uses {source} of {table}"


def test_every_oracle_names_the_parameters_that_it_used(oracles: list[Oracle]) -> None:
    for oracle in oracles:
        assert oracle.parameters, oracle.subject.dataset


def test_a_bound_is_missed_on_the_wrong_side_and_by_a_value_that_is_none(oracles: list[Oracle]) -> None:
    template = vars(oracles[0])
    assert Oracle(**{**template, "value": 3.0, "low": 3.0, "high": 4.0}).passed
    assert not Oracle(**{**template, "value": 2.9, "low": 3.0, "high": 4.0}).passed
    assert not Oracle(**{**template, "value": 4.1, "low": 3.0, "high": 4.0}).passed
    assert not Oracle(**{**template, "value": float("nan"), "low": None, "high": 4.0}).passed


def test_a_perfect_fit_has_no_error() -> None:
    assert Fit.of([(0.1, 0.1), (0.5, 0.5), (0.4, 0.4)]) == Fit(3, 0.0, 1.0, pytest.approx(1.0))


def test_the_command_prints_every_oracle_as_json() -> None:
    outcome = biomem("oracles", "--json")
    assert outcome.returncode == 0, outcome.stderr
    rows: list[dict[str, Any]] = json.loads(outcome.stdout)
    required = {"dataset", "measure", "value", "bound", "pass", "n", "in_sample", "r2", "rmse", "model", "parameters"}
    assert len(rows) > 25
    assert all(required <= set(row) and row["pass"] for row in rows)


@pytest.mark.parametrize(
    ("profile", "predicted"),
    [
        ("fsrs", lambda seconds: retention(seconds / 86400, 2.3065)),
        ("ebbinghaus", ebbinghaus_retention),
        ("short_term", short_term_retention),
    ],
)
def test_the_curve_command_predicts_any_delay(profile: str, predicted: Any) -> None:
    outcome = biomem("curve", "--profile", profile, "--seconds", "0,60,3600,86400", "--json")
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["retention"] == pytest.approx([predicted(s) for s in (0, 60, 3600, 86400)])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--seconds", "soon"), "is no list of numbers"),
        (("--seconds", "-5"), "must not hold -5"),
        (("--seconds", "inf"), "must not hold inf"),
        (("--seconds", "60", "--stability-days", "0"), "must be a positive number of days"),
    ],
)
def test_the_curve_command_says_what_is_wrong(arguments: tuple[str, ...], complaint: str) -> None:
    outcome = biomem("curve", *arguments)
    assert outcome.returncode == 1
    assert complaint in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_the_params_command_prints_every_parameter() -> None:
    outcome = biomem("params", "--json")
    assert outcome.returncode == 0, outcome.stderr
    by_name = {row["name"]: row for row in json.loads(outcome.stdout)}
    assert by_name["hebbian_learning_rate"]["value"] == 0.01
    assert by_name["working_memory_capacity"]["allowed"] == "a whole number from 1 to 50 (items)"
    assert biomem("params").returncode == 0
