"""The supervisor: starts the embedded PostgreSQL and Airflow's services, watches them, and leaves nothing behind.

Who supervises holds `<home>/airflow/supervisor.lock` for as long as it lives, and has written down what it started in
`<home>/airflow/running.json`. A lock that is free beside such a file tells that a supervisor was killed: the next one
ends what that one left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import threading
import time
from typing import IO, TYPE_CHECKING

from biomem.demo.postgres import embedded
from biomem.errors import ServiceError

from biomem_airflow import environment as env
from biomem_airflow import manifest
from biomem_airflow.local import metadata, processes, state
from biomem_airflow.local.api import COMPONENTS
from biomem_airflow.local.services import PATIENCE_S, Progress, Services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from biomem.demo.postgres import Connections
    from biomem.settings import Settings

    from biomem_airflow.local.api import AirflowApi
    from biomem_airflow.local.state import LocalAirflow

DAG_IDS = ("short_term_memory", "consolidation", "nightly_decay", "weekly_homeostasis")
POOL = "duckdb_writer"
# one has the warehouse, the other prepares (docs/decisions/0001)
POOL_SLOTS = 2
BYTES_NEEDED = 500 * 1024**2  # Airflow's database, logs and a warehouse of some 100,000 memories
START_TIMEOUT_S = 300.0
POLL_S = 0.25


def running(settings: Settings) -> LocalAirflow | None:
    """Return the Airflow that runs for this home, None when there is none."""
    if not _lock_path(settings).exists():
        return None
    with _lock_path(settings).open("a") as lock:
        if _try_lock(lock):
            return None
    return state.read(settings)


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

    What dies is started again, PostgreSQL too, as soon as the disk has room; what was stopped and is not continued is
    killed, so that Airflow tries its task again, and so is a service that runs but is no longer heard of.
    Raises ServiceError as `airflow` does, and when a service does not stay up.
    """

    def note(text: str) -> None:
        # what is said goes into a log, and a full disk is no reason to end
        with contextlib.suppress(OSError):
            tell(text)

    with _services(settings, port_choice, connections, scheduled=True, tell=tell) as services:
        tell(f"Airflow runs at {services.describe().url}")
        with contextlib.closing(services.describe().api()) as api:
            while True:
                services.revive(note)
                services.end_stopped(note)
                services.end_silent(api, note)
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


@contextlib.contextmanager
def _services(
    settings: Settings, port_choice: env.Ports, connections: Connections, *, scheduled: bool, tell: Progress
) -> Iterator[Services]:
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
        services = Services(settings, port_choice.url, variables)
        try:
            services.start()
            _wait_until_up(services.describe(), tell)
            services.are_up()
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
                api.ensure_pool(POOL, POOL_SLOTS, "One task writes to the warehouse, one more prepares")
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
            local = state.read(settings)
            where = f" at {local.url}" if local is not None else ""
            raise ServiceError(
                f"Airflow of {settings.home} runs already{where}: use it, stop it with `biomem down`,"
                " or choose another home with --home"
            )
        _end_recorded(settings)
        yield


def _end_leftovers(settings: Settings) -> bool:
    """End what a killed supervisor left behind; return whether there was anything."""
    if not state.path(settings).exists():
        return False
    with _supervision(settings):
        return True


def _end_recorded(settings: Settings) -> None:
    left = state.read(settings)
    if left is not None:
        processes.end(left.children, patience_s=0)
        state.path(settings).unlink()


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


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
