"""The unit tests that stand in the models' yml. Airflow's tasks leave them out: they test the code, not the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from biomem.settings import PROJECT_ROOT
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.transform import model_names, run_models

if TYPE_CHECKING:
    from lives import Life

WITHOUT_LOGIC = {
    # columns of a raw table; and a table of curves that takes no input (test_semantic_models holds its shape)
    *("stg_clock", "retention_curve"),
}


def test_every_unit_test_of_the_models_holds(life: Life) -> None:
    with open_warehouse(life.settings):
        pass  # dbt asks the models, here empty ones, for the types of their columns
    run_models(life.settings)
    assert run_models(life.settings, "--select", "test_type:unit", command="test")


def test_every_model_with_logic_has_a_unit_test(life: Life) -> None:
    tested = {
        test["model"]
        for path in (PROJECT_ROOT / "dbt" / "models").rglob("*.yml")
        for test in yaml.safe_load(path.read_text(encoding="utf-8")).get("unit_tests", [])
    }
    missing = set(model_names(life.settings)) - tested - WITHOUT_LOGIC
    assert not missing, f"give these a unit test in their yml: {sorted(missing)}"
