"""What the commands `run` and `up` do."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from biomem.demo.load import prepare_home
from biomem.demo.postgres import connections
from biomem.errors import ServiceError

from biomem_airflow import environment, manifest, runs
from biomem_airflow.local import metadata, ports, supervisor
from biomem_airflow.progress import Progress
from biomem_airflow.signals import ended_by_signals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from biomem.settings import Settings
    from rich.console import Console

    from biomem_airflow.local.supervisor import LocalAirflow

POLL_S = 0.2


def run_dags(
    settings: Settings, dag_ids: Sequence[str], conf: dict[str, Any], console: Console
) -> list[runs.RunResult]:
    """Run the DAGs one after the other, in a running Airflow of this home or else in this process.

    Raises ConfigurationError for an unknown DAG, RunFailed when a task fails.
    """
    runs.require_known(dag_ids)
    progress = Progress(console)
    local = supervisor.running(settings)
    if local is not None:
        with ended_by_signals():
            return _run_in(settings, local, dag_ids, conf, progress)
    log = settings.airflow_home / "logs" / "run.log"
    with ended_by_signals(), _airflow_here(settings, progress):
        with progress.step("reading the DAGs"):
            dags = runs.load_dags(settings.dags_dir, log)
        results = []
        for dag_id in dag_ids:
            with progress.step(dag_id):
                results.append(runs.run_here(dags, dag_id, conf, log))
            _say_if_behind(results[-1], progress)
        return results


def up(settings: Settings, port: int | None, console: Console) -> LocalAirflow:
    """Start a supervisor in the background and wait until its Airflow is ready.

    Raises ServiceError with the reason when it does not come up.
    """
    progress = Progress(console)
    local = supervisor.running(settings)
    if local is not None:
        raise ServiceError(f"Airflow of {settings.home} runs already at {local.url}; `biomem down` stops it")
    ports.require_free(port or ports.DEFAULT_PORT)
    log = settings.airflow_home / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "biomem_airflow", "--home", str(settings.home), "up", "--foreground"]
    command += ["--port", str(port)] if port is not None else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        with progress.step("starting Airflow"):
            return _wait_for(settings, process, log, progress)
    except BaseException:
        # a Ctrl-C while it starts means: do not
        process.terminate()
        process.wait()
        raise


def up_here(settings: Settings, port: int | None, console: Console) -> None:
    """Supervise Airflow in this process until SIGINT or SIGTERM."""
    progress = Progress(console)
    port = port or ports.DEFAULT_PORT
    with ended_by_signals(), connections(settings) as dsns:
        prepare_home(settings, dsns)
        supervisor.serve(settings, ports.choose(port), dsns, tell=progress.tell)


def _run_in(
    settings: Settings, local: LocalAirflow, dag_ids: Sequence[str], conf: dict[str, Any], progress: Progress
) -> list[runs.RunResult]:
    def check() -> None:
        if supervisor.running(settings) is None:
            raise ServiceError(f"the Airflow at {local.url} was stopped meanwhile")

    results = []
    with contextlib.closing(local.api()) as api:
        for dag_id in dag_ids:
            with progress.step(f"{dag_id} in {local.url}"):
                results.append(runs.run_through_api(api, dag_id, conf, watch=progress.watch, check=check))
            _say_if_behind(results[-1], progress)
    return results


def _say_if_behind(result: runs.RunResult, progress: Progress) -> None:
    """Tell when a run skipped everything: `begin` does so for an instant before what was computed already."""
    if any(task.task_id == "begin" and task.state == "skipped" for task in result.tasks):
        progress.say(
            f"{result.dag_id}: nothing was changed, for the instant lies before what was computed already;"
            " `biomem rebuild` computes the memory as it was then"
        )


@contextlib.contextmanager
def _airflow_here(settings: Settings, progress: Progress) -> Iterator[None]:
    """Make this process one in which DAGs can run: connections, environment, a database for the runs."""
    with connections(settings) as dsns:
        prepare_home(settings, dsns)
        environment.write_secrets(settings)
        database = metadata.in_sqlite(settings)
        variables = environment.base_environment(settings, database, dsns)
        if not database.is_current():
            with progress.step("preparing a database for the runs (once)"):
                database.migrate(variables)
        if manifest.is_stale(settings):
            with progress.step("parsing the dbt project"):
                manifest.make(settings)
        # Airflow reads these when it is imported, which is after this
        os.environ.update(variables)
        yield


def _wait_for(settings: Settings, process: subprocess.Popen[bytes], log: Any, progress: Progress) -> LocalAirflow:
    told = 0
    while True:
        lines = log.read_text(errors="replace").splitlines()
        for line in lines[told:]:
            progress.tell(line)
        told = len(lines)
        local = supervisor.running(settings)
        if local is not None and local.is_ready:
            return local
        if process.poll() is not None:
            raise ServiceError("\n".join(lines[-20:]) or f"the supervisor ended with {process.returncode}; see {log}")
        time.sleep(POLL_S)
