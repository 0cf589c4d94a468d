"""The parameters that a home sets for itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest
from biomem.errors import ConfigurationError
from biomem.overrides import read_changes, read_overrides
from biomem.parameters import adopt, dbt_arguments, load_parameters, params_hash, revert

if TYPE_CHECKING:
    from pathlib import Path

    from biomem.settings import Settings

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


def test_a_home_without_a_file_has_the_parameters_of_the_project(settings: Settings) -> None:
    assert read_overrides(settings) == {}
    assert dbt_arguments(settings) == []
    assert load_parameters(settings)["forgetting_threshold"].value == 0.6


def test_an_adopted_value_holds_and_is_on_record(settings: Settings) -> None:
    before = params_hash(settings)
    adopt(settings, {"forgetting_threshold": 0.5}, at=NOON, by="ada", reason="too much is forgotten")
    assert load_parameters(settings)["forgetting_threshold"].value == 0.5
    assert params_hash(settings) != before
    assert dbt_arguments(settings) == ["--vars", '{"forgetting_threshold": 0.5}']
    (change,) = read_changes(settings)
    assert (change.at, change.by, change.reason) == (NOON, "ada", "too much is forgotten")


def test_values_add_up_and_a_repeated_adoption_is_not_recorded_twice(settings: Settings) -> None:
    adopt(settings, {"forgetting_threshold": 0.5}, at=NOON, by="ada", reason="one")
    for _ in range(2):
        adopt(settings, {"working_memory_capacity": 5}, at=NOON, by="ada", reason="two")
    assert read_overrides(settings) == {"forgetting_threshold": 0.5, "working_memory_capacity": 5}
    assert [change.reason for change in read_changes(settings)] == ["one", "two"]


def test_the_last_change_can_be_taken_back_and_that_too(settings: Settings) -> None:
    adopt(settings, {"forgetting_threshold": 0.5}, at=NOON, by="ada", reason="one")
    adopt(settings, {"working_memory_capacity": 5}, at=NOON, by="ada", reason="two")
    assert revert(settings, at=NOON, by="milo") == {"forgetting_threshold": 0.5}
    assert load_parameters(settings)["working_memory_capacity"].value == 7
    assert revert(settings, at=NOON, by="milo") == {"forgetting_threshold": 0.5, "working_memory_capacity": 5}
    assert read_changes(settings)[-1].by == "milo"


def test_the_value_of_the_project_is_no_value_of_the_home(settings: Settings) -> None:
    adopt(settings, {"forgetting_threshold": 0.5}, at=NOON, by="ada", reason="one")
    adopt(settings, {"forgetting_threshold": 0.6}, at=NOON, by="ada", reason="as shipped")
    assert read_overrides(settings) == {}


def test_nothing_to_take_back_is_said(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="no change of parameters is on record"):
        revert(settings, at=NOON, by="ada")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"forgeting_threshold": 0.5}, "did you mean forgetting_threshold"),
        ({"forgetting_threshold": 2}, "parameter forgetting_threshold is 2, it must be a number from 0.25 to 0.95"),
        ({"salience_good": 0.1}, "between salience_hard"),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_nothing_changes(
    settings: Settings, values: dict[str, float], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        adopt(settings, values, at=NOON, by="ada", reason="no")
    assert not settings.parameters_path.exists()


@pytest.mark.parametrize("text", ["parameters: [1]", "- a", "parameters: {a: [}", "changes: 5"])
def test_a_file_that_is_no_such_file_is_named(settings: Settings, text: str) -> None:
    settings.home.mkdir()
    settings.parameters_path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"parameters\.yml"):
        load_parameters(settings)


def test_a_copy_of_the_warehouse_keeps_the_parameters_of_its_home(settings: Settings, tmp_path: Path) -> None:
    adopt(settings, {"forgetting_threshold": 0.5}, at=NOON, by="ada", reason="one")
    copy = replace(settings, home=tmp_path / "copy")
    assert load_parameters(copy)["forgetting_threshold"].value == 0.5
