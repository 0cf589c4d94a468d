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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psutil
from biomem.demo.postgres import embedded, is_running, revive
from biomem.errors import ServiceError

from biomem_airflow import environment as env
from biomem_airflow import manifest
from biomem_airflow.local import metadata, processes
from biomem_airflow.local.api import COMPONENTS, AirflowApi
from biomem_airflow.local.watch import STOPPED_S, Revivals, StoppedProcesses

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
LOG_BYTES = 10 * 1024**2

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
    with _services(settings, port_choice, connections, scheduled=scheduled, tell=tell) as services:
        yield services.describe()


def serve(settings: Settings, port_choice: env.Ports, connections: Connections, *, tell: Progress) -> None:
    """Run Airflow, its DAGs by their schedules, until interrupted.

    What dies is started again, PostgreSQL too; what was stopped and is not continued is killed, so that Airflow tries
    its task again. Raises ServiceError as `airflow` does, and when a service does not stay up.
    """
    with _services(settings, port_choice, connections, scheduled=True, tell=tell) as services:
        tell(f"Airflow runs at {services.describe().url}")
        while True:
            services.revive(tell)
            services.end_stopped(tell)
            services.shorten_logs()
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


class _Services:
    """Airflow's services as children of this process; what is known about them is written down at every change."""

    def __init__(self, settings: Settings, url: str, variables: dict[str, str]) -> None:
        self._settings = settings
        self._url = url
        self._variables = variables
        self._children: dict[str, processes.Child] = {}
        self._revivals = Revivals()
        self._stopped = StoppedProcesses()
        self._is_ready = False

    def start(self) -> None:
        for service in SERVICES:
            self._log(service).unlink(missing_ok=True)
            self._start(service)

    def wait_until_up(self, tell: Progress) -> None:
        _wait_until_up(self.describe(), tell)
        self._is_ready = True
        self._write_down()

    def describe(self) -> LocalAirflow:
        children = tuple(self._children.values())
        password_file = env.password_file(self._settings)
        return LocalAirflow(self._url, env.USER, password_file, os.getpid(), children, self._is_ready)

    def revive(self, tell: Progress) -> None:
        """Start again what has died; Airflow makes up for what was missed. Raises ServiceError when that is in vain."""
        self._revive_postgres(tell)
        for service, child in list(self._children.items()):
            if child.is_running():
                continue
            if self._revivals.are_in_vain(service, time.monotonic()):
                raise ServiceError(f"Airflow's {service} dies again and again; {child.log} ends with:\n{child.tail()}")
            tell(f"Airflow's {service} has died and is started again; see {child.log}")
            processes.end([child], patience_s=0)
            self._start(service)

    def end_stopped(self, tell: Progress) -> None:
        """Kill what has been stopped for long."""
        for process in self._stopped.overdue(self._children.values(), time.monotonic()):
            with contextlib.suppress(psutil.NoSuchProcess):
                title = " ".join(process.cmdline())
                process.kill()
                tell(f"process {process.pid} ({title}) had been stopped for {STOPPED_S:.0f} s and is killed")

    def shorten_logs(self) -> None:
        """Begin a log anew when it has grown long, keeping one older part."""
        for child in self._children.values():
            if child.log.stat().st_size > LOG_BYTES:
                shutil.copyfile(child.log, child.log.with_suffix(".log.1"))
                os.truncate(child.log, 0)

    def end(self) -> None:
        processes.end(list(self._children.values()), patience_s=PATIENCE_S)
        _state_path(self._settings).unlink(missing_ok=True)

    def _revive_postgres(self, tell: Progress) -> None:
        if is_running(self._settings):
            return
        log = self._settings.postgres_dir / "server.log"
        if self._revivals.are_in_vain("PostgreSQL", time.monotonic()):
            raise ServiceError(f"the embedded PostgreSQL dies again and again; {log} and {log}.1 say why")
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(log, f"{log}.1")  # the start begins it anew
        tell(f"the embedded PostgreSQL has died and is started again; see {log}.1")
        revive(self._settings)

    def _start(self, service: str) -> None:
        command = [sys.executable, "-m", "airflow", service]
        self._children[service] = processes.start(service, command, self._variables, self._log(service))
        self._write_down()

    def _log(self, service: str) -> Path:
        return self._settings.airflow_home / "logs" / f"{service}.log"

    def _write_down(self) -> None:
        path = _state_path(self._settings)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self.describe()), default=str, indent=1) + "\n")
        fresh.rename(path)


@contextlib.contextmanager
def _services(
    settings: Settings, port_choice: env.Ports, connections: Connections, *, scheduled: bool, tell: Progress
) -> Iterator[_Services]:
    _require_space(settings)
    env.write_secrets(settings)
    with _supervision(settings), embedded(settings) as postgres:
        database = metadata.in_postgres(postgres, settings)
        variables = env.base_environment(settings, database, connections)
        if not database.is_current():
            tell("preparing Airflow's database (once)")
            database.migrate(variables)
        if manifest.is_stale(settings):
            tell("parsing the dbt project")
            manifest.make(settings)
        variables.update(env.server_environment(settings, port_choice, scheduled=scheduled))
        services = _Services(settings, port_choice.url, variables)
        try:
            services.start()
            services.wait_until_up(tell)
            yield services
        finally:
            with _undisturbed():
                services.end()


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


def _read_state(settings: Settings) -> LocalAirflow | None:
    try:
        state = json.loads(_state_path(settings).read_text())
    except FileNotFoundError:
        return None
    children = tuple(processes.Child(**{**child, "log": Path(child["log"])}) for child in state["children"])
    return LocalAirflow(**{**state, "password_file": Path(state["password_file"]), "children": children})
