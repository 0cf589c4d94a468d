"""What is written down of a home's running Airflow, for other processes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from biomem.errors import ServiceError

from biomem_airflow.local import processes
from biomem_airflow.local.api import AirflowApi

if TYPE_CHECKING:
    from biomem.settings import Settings


@dataclass(frozen=True)
class LocalAirflow:
    """A running local Airflow and how to reach it; `supervisor_pid` ends it when it gets SIGTERM."""

    url: str
    user: str
    password_file: Path
    supervisor_pid: int
    children: tuple[processes.Child, ...]
    is_ready: bool = False

    def api(self) -> AirflowApi:
        return AirflowApi(self.url, str(json.loads(self.password_file.read_text())[self.user]))

    def check(self) -> None:
        """Raise ServiceError when one of the services has died."""
        for child in self.children:
            if not child.is_running():
                raise ServiceError(f"Airflow's {child.name} has died; {child.log} ends with:\n{child.tail()}")


def path(settings: Settings) -> Path:
    """Where it is written; the file is there while Airflow runs, or was killed together with its supervisor."""
    return settings.airflow_home / "running.json"


def read(settings: Settings) -> LocalAirflow | None:
    """What is written there; None without the file."""
    try:
        state = json.loads(path(settings).read_text())
    except FileNotFoundError:
        return None
    children = tuple(processes.Child(**{**child, "log": Path(child["log"])}) for child in state["children"])
    return LocalAirflow(**{**state, "password_file": Path(state["password_file"]), "children": children})


def write(settings: Settings, local: LocalAirflow) -> None:
    """Write it down, whole or not at all."""
    fresh = path(settings).with_suffix(".new")
    fresh.write_text(json.dumps(asdict(local), default=str, indent=1) + "\n")
    fresh.rename(path(settings))
