"""What the oracles hold against data is what the models compute with: no equation exists for an oracle alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from biomem.oracles.report import run_oracles
from biomem.settings import PROJECT_ROOT, load_settings

if TYPE_CHECKING:
    from biomem.oracles.result import Oracle

DBT = PROJECT_ROOT / "dbt"
EQUATIONS = {path.stem for path in (DBT / "macros" / "equations").glob("*.sql")}
CALL = re.compile(r"\b([a-z][a-z0-9_]*)\(")


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Text of every model and macro file by name; a file may define several macros, the first bears its name."""
    return {
        path.stem: path.read_text(encoding="utf-8")
        for folder in ("macros", "models")
        for path in (DBT / folder).rglob("*.sql")
    }


def reached_from(name: str, texts: dict[str, str]) -> set[str]:
    """Every macro that the file `name` calls, directly or through other macros."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        called = {call for call in CALL.findall(texts[waiting.pop()]) if call in texts} - found
        found |= called
        waiting += called
    return found


@pytest.fixture(scope="module")
def oracles() -> list[Oracle]:
    return run_oracles(load_settings())


def test_every_oracle_names_a_model_that_computes_with_its_macros(texts: dict[str, str], oracles: list[Oracle]) -> None:
    apart = sorted(
        f"{oracle.subject.dataset}: {oracle.subject.model} does not call {macro}"
        for oracle in oracles
        for macro in set(oracle.subject.macros) - reached_from(oracle.subject.model, texts)
    )
    assert not apart, apart


def test_every_equation_is_used_by_a_model(texts: dict[str, str]) -> None:
    models = [path.stem for path in (DBT / "models").rglob("*.sql")]
    used = set().union(*(reached_from(model, texts) for model in models))
    assert not (EQUATIONS - used - {"validate_parameters"}), "these equations serve no model"
