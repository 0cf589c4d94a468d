"""The supervisor: starts the embedded PostgreSQL and Airflow's services, watches them, and leaves nothing behind.

Who supervises holds `<home>/airflow/supervisor.lock` for as long as it lives, and has written down what it started in
`<home>/airflow/running.json`. A lock that is free beside such a file tells that a supervisor was killed: the next one
ends what that one left.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from biomem.errors import ServiceError

from biomem_airflow import environment as env
from biomem_airflow.local import metadata, processes
from biomem_airflow.local.api import COMPONENTS, AirflowApi

if TYPE_CHECKING:
    from biomem.demo.postgres import Connections
    from biomem.settings import Settings

SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer")
DAG_IDS = ("short_term_memory", "consolidation", "nightly_decay", "weekly_homeostasis")
POOL = "duckdb_writer"
BYTES_NEEDED = 500 * 1024**2  # Airflow's database, logs and a warehouse of some 100,000 memories
START_TIMEOUT_S = 300.0
PATIENCE_S = 3.0
POLL_S = 0.25

Progress = Callable[[str], None]


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


def running(settings: Settings) -> LocalAirflow | None:
    """Return the Airflow that runs for this home, None when there is none."""
    if not _lock_path(settings).exists():
        return None
    with _lock_path(settings).open("a") as lock:
        if _try_lock(lock):
            return None
    return _read_state(settings)


@contextlib.contextmanager
def airflow(
    settings: Settings, port_choice: env.Ports, connections: Connections, *, scheduled: bool, tell: Progress
) -> Iterator[LocalAirflow]:
    """Run Airflow for the length of the block.

    `scheduled` False lets only the API start runs. Raises ServiceError when this home has an Airflow already, when
    there is no room on the disk, or when a service does not come up.
    """
    from biomem.demo.postgres import embedded

    _require_space(settings)
    env.write_secrets(settings)
    with _supervision(settings), embedded(settings) as postgres:
        database = metadata.in_postgres(postgres, settings)
        variables = env.base_environment(settings, database, connections)
        if not database.is_current():
            tell("preparing Airflow's database (once)")
            database.migrate(variables)
        variables.update(env.server_environment(settings, port_choice, scheduled=scheduled))
        children: list[processes.Child] = []
        try:
            for service in SERVICES:
                children.append(_start(settings, service, variables))
                local = LocalAirflow(
                    port_choice.url, env.USER, env.password_file(settings), os.getpid(), tuple(children)
                )
                _write_state(settings, local)
            _wait_until_up(local, tell)
            local = replace(local, is_ready=True)
            _write_state(settings, local)
            yield local
        finally:
            with _undisturbed():
                processes.end(children, patience_s=PATIENCE_S)
                _state_path(settings).unlink(missing_ok=True)


def keep_running(local: LocalAirflow) -> None:
    """Watch until interrupted. Raises ServiceError when a service dies."""
    while True:
        local.check()
        time.sleep(1)


def stop(settings: Settings) -> bool:
    """End this home's Airflow, also one whose supervisor was killed; return whether there was one."""
    local = running(settings)
    if local is not None:
        os.kill(local.supervisor_pid, signal.SIGTERM)
        deadline = time.monotonic() + 10 * PATIENCE_S
        while running(settings) is not None:
            if time.monotonic() > deadline:
                raise ServiceError(f"Airflow's supervisor (process {local.supervisor_pid}) does not end")
            time.sleep(POLL_S)
    return _end_leftovers(settings) or local is not None


def _start(settings: Settings, service: str, variables: dict[str, str]) -> processes.Child:
    log = settings.airflow_home / "logs" / f"{service}.log"
    log.unlink(missing_ok=True)
    return processes.start(service, [sys.executable, "-m", "airflow", service], variables, log)


def _wait_until_up(local: LocalAirflow, tell: Progress) -> None:
    """Wait for every component to be healthy and every DAG to be known, and make the pool."""
    api = local.api()
    started = time.monotonic()
    last = ""
    with contextlib.closing(api):
        while time.monotonic() - started < START_TIMEOUT_S:
            local.check()
            missing = _what_is_missing(api)
            if not missing:
                api.ensure_pool(POOL, 1, "DuckDB takes one writing process at a time")
                return
            if missing != last:
                tell(f"waiting for Airflow: {missing}")
                last = missing
            time.sleep(POLL_S)
    raise ServiceError(
        f"Airflow did not come up within {START_TIMEOUT_S:.0f} s, still missing: {last};"
        f" its logs are in {local.children[0].log.parent}"
    )


def _what_is_missing(api: AirflowApi) -> str:
    health = api.health()
    if not health:
        return "its API"
    ill = [name for name in COMPONENTS if health.get(name) != "healthy"]
    if ill:
        return ", ".join(ill)
    known = api.dag_ids()
    missing = [dag_id for dag_id in DAG_IDS if dag_id not in known]
    broken = api.import_errors() if missing else []
    if broken:
        raise ServiceError("Airflow cannot read a DAG file:\n" + "\n".join(broken))
    return ", ".join(missing)


@contextlib.contextmanager
def _supervision(settings: Settings) -> Iterator[None]:
    """Be the one supervisor of this home; end first what a killed one left behind."""
    with _lock_path(settings).open("a") as lock:
        if not _try_lock(lock):
            local = _read_state(settings)
            where = f" at {local.url}" if local is not None else ""
            raise ServiceError(
                f"Airflow of {settings.home} runs already{where}: use it, stop it with `biomem down`,"
                " or choose another home with --home"
            )
        _end_recorded(settings)
        yield


def _end_leftovers(settings: Settings) -> bool:
    """End what a killed supervisor left behind; return whether there was anything."""
    if not _state_path(settings).exists():
        return False
    with _supervision(settings):
        return True


def _end_recorded(settings: Settings) -> None:
    left = _read_state(settings)
    if left is not None:
        processes.end(left.children, patience_s=0)
        _state_path(settings).unlink()


def _require_space(settings: Settings) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.home).free
    if free < BYTES_NEEDED:
        raise ServiceError(
            f"the disk of {settings.home} has {free // 1024**2} MB free and Airflow needs {BYTES_NEEDED // 1024**2} MB:"
            " make room, or name another place with --home"
        )


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C or SIGTERM wait until everything has been stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _lock_path(settings: Settings) -> Path:
    return settings.airflow_home / "supervisor.lock"


def _state_path(settings: Settings) -> Path:
    return settings.airflow_home / "running.json"


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_state(settings: Settings, local: LocalAirflow) -> None:
    fresh = _state_path(settings).with_suffix(".new")
    fresh.write_text(json.dumps(asdict(local), default=str, indent=1) + "\n")
    fresh.rename(_state_path(settings))


def _read_state(settings: Settings) -> LocalAirflow | None:
    try:
        state = json.loads(_state_path(settings).read_text())
    except FileNotFoundError:
        return None
    children = tuple(processes.Child(**{**child, "log": Path(child["log"])}) for child in state["children"])
    return LocalAirflow(**{**state, "password_file": Path(state["password_file"]), "children": children})
