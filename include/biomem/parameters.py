"""The model's parameters: the `vars` of dbt_project.yml, which document their own units, ranges and sources.

A home may set its own values (`biomem.overrides`); they are checked like those of the project.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from biomem.errors import ConfigurationError
from biomem.overrides import Change, read_changes, read_overrides, save_change

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from biomem.settings import Settings

DOCUMENTED = "parameters"
# libyaml reads the project file in 4 ms instead of 28; a PyYAML that was built without it has the slow one only
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Parameter:
    """One parameter with what it means; `low` and `high` are included, lists hold one bound per element."""

    name: str
    value: Any
    unit: str
    meaning: str
    source: str
    basis: str
    low: Any = None
    high: Any = None
    choices: tuple[Any, ...] | None = None
    whole: bool = False
    share_or_count: bool = False
    optional: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices is not None:
            return "one of " + ", ".join(json.dumps(choice) for choice in self.choices)
        if self.low is None:
            return f"a {self.unit}"
        if isinstance(self.low, list):
            return f"a list of {len(self.low)} numbers ({self.unit})"
        or_null = " or null" if self.optional else ""
        if self.share_or_count:
            return f"a share above 0 and at most 1.0, or a whole number of memories{or_null}"
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low} to {self.high} ({self.unit}){or_null}"


def load_parameters(settings: Settings) -> dict[str, Parameter]:
    """Every parameter by name, in the file's order, checked; where the home sets a value of its own, that one.

    Raises ConfigurationError when a file cannot be read, a parameter is missing or undocumented, or a value is out of
    its range.
    """
    return parameters_with(settings, read_overrides(settings))


def parameters_with(settings: Settings, overrides: Mapping[str, Any]) -> dict[str, Parameter]:
    """Every parameter as it would be if the home set `overrides` and nothing else. Raises as `load_parameters` does."""
    path = settings.dbt_dir / "dbt_project.yml"
    variables = _read_vars(path)
    documented = variables.pop(DOCUMENTED, None) or {}
    if unknown := sorted(set(variables) - set(documented)):
        raise ConfigurationError(
            f"{path} sets {', '.join(unknown)}, which no model knows; "
            "correct the name or document it under vars: parameters"
        )
    if missing := sorted(set(documented) - set(variables)):
        raise ConfigurationError(f"{path} does not set {', '.join(missing)}; add it under vars")
    own = settings.parameters_path
    if unknown := sorted(set(overrides) - set(documented)):
        near = difflib.get_close_matches(unknown[0], documented, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigurationError(
            f"there is no parameter {', '.join(unknown)}; {hint}`biomem params` lists all ({own} sets this home's)"
        )
    values = {**variables, **overrides}
    parameters = {
        name: Parameter(name=name, value=values[name], **{**text, "choices": _tuple(text.get("choices"))})
        for name, text in documented.items()
    }
    for parameter in parameters.values():
        _check(parameter, own if parameter.name in overrides else path)
    _check_order(parameters, own if "salience_good" in overrides else path)
    return parameters


def adopt(settings: Settings, values: Mapping[str, Any], *, at: datetime, by: str, reason: str) -> None:
    """Make the values this home's, beside those it has set already, on record; harmless to repeat.

    What was computed with other values is for the caller to build anew (`biomem.warehouse.rebuild`).
    Raises ConfigurationError, with nothing changed, for an unknown parameter or a value out of range.
    """
    wanted = {**read_overrides(settings), **values}
    shipped = parameters_with(settings, {})
    parameters_with(settings, wanted)
    own = {name: value for name, value in wanted.items() if value != shipped[name].value}
    save_change(settings, Change(at, by, reason, own))


def revert(settings: Settings, *, at: datetime, by: str) -> dict[str, Any]:
    """Take the last change back, which is itself a change on record; returns what the home sets from now on.

    Raises ConfigurationError when there is no change to take back.
    """
    changes = read_changes(settings)
    if not changes:
        raise ConfigurationError(f"no change of parameters is on record in {settings.parameters_path}")
    last = changes[-1]
    before = dict(changes[-2].parameters) if len(changes) > 1 else {}
    parameters_with(settings, before)
    save_change(settings, Change(at, by, f"takes back the change of {last.at:%Y-%m-%d %H:%M} UTC by {last.by}", before))
    return before


def dbt_arguments(settings: Settings) -> list[str]:
    """What tells dbt the home's own parameters."""
    overrides = read_overrides(settings)
    return ["--vars", json.dumps(overrides)] if overrides else []


def params_hash(settings: Settings) -> str:
    """SHA-256, in hex, of the parameters' values: two runs with the same hash computed with the same numbers."""
    values = {name: parameter.value for name, parameter in load_parameters(settings).items()}
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _read_vars(path: Path) -> dict[str, Any]:
    try:
        project = _parsed(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"the parameters cannot be read from {path}: {error}") from error
    variables = project.get("vars") if isinstance(project, dict) else None
    if not isinstance(variables, dict):
        raise ConfigurationError(f"{path} has no section vars; restore it, it holds the model's parameters")
    return dict(variables)


@lru_cache(maxsize=4)
def _parsed(text: str) -> Any:
    # a process, and those that are forked from it, reads the same text again and again
    return yaml.load(text, LOADER)


def _tuple(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


def _check(parameter: Parameter, path: Path) -> None:
    value = parameter.value
    if value is None and parameter.optional:
        return
    if parameter.choices is not None:
        if not any(
            value is choice or (value == choice and type(value) is type(choice)) for choice in parameter.choices
        ):
            raise _refusal(parameter.name, value, parameter.allowed, path)
    elif parameter.low is None:
        _check_time_zone(parameter, path)
    elif isinstance(parameter.low, list):
        if not isinstance(value, list) or len(value) != len(parameter.low):
            raise _refusal(parameter.name, value, parameter.allowed, path)
        for index, (number, low, high) in enumerate(zip(value, parameter.low, parameter.high, strict=True)):
            if not _in_range(number, low, high):
                raise _refusal(f"{parameter.name}[{index}]", number, f"a number from {low} to {high}", path)
    elif (
        not _in_range(value, parameter.low, parameter.high)
        or (parameter.whole and not isinstance(value, int))
        or (parameter.share_or_count and value > 1 and not isinstance(value, int))
    ):
        raise _refusal(parameter.name, value, parameter.allowed, path)


def _check_time_zone(parameter: Parameter, path: Path) -> None:
    try:
        ZoneInfo(parameter.value)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise _refusal(
            parameter.name, parameter.value, "an IANA time zone such as UTC or Europe/London", path
        ) from error


def _check_order(parameters: dict[str, Parameter], path: Path) -> None:
    hard, good, easy = (parameters[f"salience_{grade}"].value for grade in ("hard", "good", "easy"))
    if not hard < good < easy:
        raise _refusal("salience_good", good, f"between salience_hard ({hard}) and salience_easy ({easy})", path)


def _in_range(value: Any, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _refusal(name: str, value: Any, allowed: str, path: Path) -> ConfigurationError:
    section = "vars" if path.name == "dbt_project.yml" else "parameters"
    return ConfigurationError(f"parameter {name} is {value!r}, it must be {allowed}; set it in {path} under {section}")
