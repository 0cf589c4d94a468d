"""The parameters that a home sets for itself, in `<home>/parameters.yml`: what holds, and every change on record."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import yaml

from biomem.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from biomem.settings import Settings

IN_FORCE, CHANGES = "parameters", "changes"
HEADER = """\
# Parameters of this home that differ from dbt_project.yml. `biomem params --set NAME=VALUE` and the DAG what_if write
# here; `biomem params --revert` takes the last change back. Each stage's next run builds it anew.
"""


@dataclass(frozen=True)
class Change:
    """Who changed the home's parameters when and why, and all that the home set from then on."""

    at: datetime
    by: str
    reason: str
    parameters: Mapping[str, Any]


def read_overrides(settings: Settings) -> dict[str, Any]:
    """The values that this home sets, by parameter. Raises ConfigurationError when the file cannot be read."""
    return dict(_read(settings.parameters_path)[IN_FORCE])


def read_changes(settings: Settings) -> list[Change]:
    """Every recorded change, the oldest first. Raises ConfigurationError when the file cannot be read."""
    path = settings.parameters_path
    try:
        return [
            Change(_instant(one["at"]), str(one["by"]), str(one["reason"]), dict(one["parameters"] or {}))
            for one in _read(path)[CHANGES]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"the section {CHANGES} of {path} is not as biomem wrote it ({error})") from error


def save_change(settings: Settings, change: Change) -> None:
    """Put the change into force and on record, whole or not at all; one that changes nothing is not recorded."""
    path = settings.parameters_path
    content = _read(path)
    if content[IN_FORCE] == change.parameters:
        return
    record = {
        "at": change.at.astimezone(timezone.utc).isoformat(),
        "by": change.by,
        "reason": change.reason,
        "parameters": dict(change.parameters),
    }
    content = {IN_FORCE: dict(change.parameters), CHANGES: [*content[CHANGES], record]}
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(HEADER + yaml.dump(content, Dumper=_Plain, sort_keys=False, allow_unicode=True))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


class _Plain(yaml.SafeDumper):
    """Writes a value twice rather than a reference to it: people read this file."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {IN_FORCE: {}, CHANGES: []}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"the parameters of this home cannot be read from {path}: {error}") from error
    content = {} if content is None else content
    is_sound = isinstance(content, dict) and isinstance(content.get(IN_FORCE) or {}, dict)
    if not is_sound or not isinstance(content.get(CHANGES) or [], list):
        raise ConfigurationError(f"{path} must hold a section {IN_FORCE} with lines NAME: VALUE; correct or remove it")
    return {IN_FORCE: content.get(IN_FORCE) or {}, CHANGES: content.get(CHANGES) or []}


def _instant(value: Any) -> datetime:
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)
