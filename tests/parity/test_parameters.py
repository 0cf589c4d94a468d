"""A parameter out of range stops everything, in the same words on the command line and in dbt."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from biomem.errors import ConfigurationError
from biomem.parameters import load_parameters, params_hash
from biomem.settings import PROJECT_ROOT, Settings, load_settings
from rendered import Refused, Rendered

if TYPE_CHECKING:
    from pathlib import Path

    from tests.parity.conftest import ScratchProject

OUT_OF_RANGE = [
    ("working_memory_capacity", 0),
    ("working_memory_capacity", 7.5),
    ("working_memory_capacity", "seven"),
    ("working_memory_capacity", True),
    ("working_memory_profile", "elephant"),
    ("hebbian_learning_rate", -0.01),
    ("synaptic_decay_rate", float("nan")),
    ("homeostasis_target", 1.0),
    ("long_term_memory_threshold", 1.5),
    ("consolidation_batch_size", 0),
    ("restudy_rho", 0.9),
    ("forgetting_threshold", None),
    ("fsrs_weights", [0.212]),
    ("fsrs_weights", "none"),
    ("fsrs_weights", [*[1.0] * 20, 0.0]),
    ("merge_repeats", "yes"),
    ("salience_good", 0.2),
    ("night_time_zone", ""),
    ("memory_budget", 0),
    ("memory_budget", 1.5),
    ("memory_budget", "half"),
]


@pytest.fixture
def project(tmp_path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "dbt" / "dbt_project.yml").read_text(encoding="utf-8"))
    return loaded


def settings_for(project: dict[str, Any], folder: Path) -> Settings:
    (folder / "dbt").mkdir()
    (folder / "dbt" / "dbt_project.yml").write_text(yaml.safe_dump(project), encoding="utf-8")
    return dataclasses.replace(load_settings(environ={}), project_root=folder)


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_with_its_name_and_what_is_allowed(
    name: str, value: Any, project: dict[str, Any], tmp_path: Path
) -> None:
    project["vars"][name] = value
    with pytest.raises(ConfigurationError, match=rf"parameter {name}.* is .*, it must be .*; set it in .*dbt_project"):
        load_parameters(settings_for(project, tmp_path))


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_the_build_is_stopped_by_what_the_command_line_refuses(name: str, value: Any) -> None:
    rendered = Rendered(**{name: value})
    rendered.vars["parameters"] = documentation()
    with pytest.raises(
        Refused, match=rf"parameter {name}.* is .*, it must be .*; set it in dbt_project.yml under vars"
    ):
        rendered("validate_parameters")


@pytest.mark.parametrize(
    ("name", "value"), [("memory_budget", None), ("memory_budget", 1.0), ("memory_budget", 2), ("fsrs_weights", None)]
)
def test_the_build_accepts_what_is_allowed_to_the_edge(name: str, value: Any) -> None:
    rendered = Rendered()
    rendered.vars |= {"parameters": documentation(), name: value if name != "fsrs_weights" else highest_weights()}
    assert rendered("validate_parameters") == ""


def test_dbt_says_of_a_budget_what_the_command_line_says(project: dict[str, Any], tmp_path: Path) -> None:
    project["vars"]["memory_budget"] = 1.5
    with pytest.raises(ConfigurationError) as on_the_command_line:
        load_parameters(settings_for(project, tmp_path))
    rendered = Rendered(memory_budget=1.5)
    rendered.vars["parameters"] = documentation()
    with pytest.raises(Refused) as in_dbt:
        rendered("validate_parameters")
    assert str(in_dbt.value).split(";")[0] in str(on_the_command_line.value)


def documentation() -> dict[str, Any]:
    project = yaml.safe_load((PROJECT_ROOT / "dbt" / "dbt_project.yml").read_text(encoding="utf-8"))
    return dict(project["vars"]["parameters"])


def highest_weights() -> list[float]:
    """Each weight at the upper end of its own range: a bound of another weight would refuse one of them."""
    return list(documentation()["fsrs_weights"]["high"])


def test_dbt_refuses_what_the_command_line_refuses(scratch_project: ScratchProject) -> None:
    scratch_project.add_model("one", "select 1 as one")
    scratch_project.project["on-run-start"] = ["{{ validate_parameters() }}"]
    # a few of different kinds: a run of dbt takes seconds
    kinds = dict(OUT_OF_RANGE)
    for name in ("working_memory_profile", "synaptic_decay_rate", "fsrs_weights", "memory_budget"):
        value = kinds[name]
        scratch_project.project["vars"] = {**scratch_project.vars, name: value}
        outcome = scratch_project.run("run", "--no-partial-parse")
        assert not outcome.success, f"{name} = {value!r} passed"


def test_dbt_says_which_parameter_and_what_is_allowed(
    scratch_project: ScratchProject, capfd: pytest.CaptureFixture[str]
) -> None:
    scratch_project.add_model("one", "select 1 as one")
    scratch_project.project["on-run-start"] = ["{{ validate_parameters() }}"]
    scratch_project.project["vars"] = {**scratch_project.vars, "homeostasis_target": 2}
    scratch_project.run("run")
    assert "parameter homeostasis_target is 2, it must be a number from 0.01 to 0.99" in capfd.readouterr().out


def test_dbt_accepts_the_shipped_parameters(scratch_project: ScratchProject) -> None:
    scratch_project.add_model("one", "select 1 as one")
    scratch_project.project["on-run-start"] = ["{{ validate_parameters() }}"]
    assert scratch_project.run("run").success


def test_every_shipped_parameter_is_documented_and_in_range() -> None:
    for parameter in load_parameters(load_settings()).values():
        assert parameter.meaning.endswith("."), parameter.name
        assert parameter.unit
        assert parameter.source
        assert parameter.basis in {"science", "engineering"}
        json.dumps(parameter.value, allow_nan=False)


def test_a_misspelt_parameter_is_named(project: dict[str, Any], tmp_path: Path) -> None:
    project["vars"]["hebian_learning_rate"] = 0.01
    with pytest.raises(ConfigurationError, match="hebian_learning_rate"):
        load_parameters(settings_for(project, tmp_path))


def test_a_missing_parameter_is_named(project: dict[str, Any], tmp_path: Path) -> None:
    del project["vars"]["night_hour"]
    with pytest.raises(ConfigurationError, match="does not set night_hour"):
        load_parameters(settings_for(project, tmp_path))


def test_the_hash_follows_the_values_and_nothing_else(project: dict[str, Any], tmp_path: Path) -> None:
    shipped = params_hash(load_settings())
    project["vars"]["parameters"]["night_hour"]["meaning"] = "Something else."
    project["vars"] = dict(reversed(project["vars"].items()))
    (tmp_path / "same").mkdir()
    assert params_hash(settings_for(project, tmp_path / "same")) == shipped
    project["vars"]["night_hour"] = 3
    (tmp_path / "other").mkdir()
    assert params_hash(settings_for(project, tmp_path / "other")) != shipped
