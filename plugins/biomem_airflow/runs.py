"""Runs of DAGs: started through the API of a running Airflow, or in this process, and followed to their end."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biomem.errors import BiomemError, ConfigurationError
from biomem.warehouse.context import STAGES

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG

    from biomem_airflow.local.api import AirflowApi

MANUAL = ("what_if", "rebuild_memory", "backfill_source", "forget_hard", "housekeeping")
POLL_S = 0.3
TAIL_LINES = 40
TASK_BEGINS = "[DAG TEST] starting"
AFTER_TASK = "::group::Post Execute"


class RunFailed(BiomemError):
    """A task failed; the message names it and holds the end of its log."""


@dataclass(frozen=True)
class TaskResult:
    """A task of a run; `label` tells apart what one task was mapped to (a pull: its source)."""

    task_id: str
    state: str | None
    seconds: float | None
    label: str | None = None

    @property
    def name(self) -> str:
        return f"{self.task_id} {self.label}" if self.label else self.task_id


@dataclass(frozen=True)
class RunResult:
    """One run of a DAG and its tasks, in the order in which they started; `seconds` are wall-clock time."""

    dag_id: str
    run_id: str
    state: str
    seconds: float | None
    tasks: tuple[TaskResult, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "state": self.state,
            "seconds": _rounded(self.seconds),
            "tasks": [
                {
                    "task_id": task.task_id,
                    "state": task.state,
                    "seconds": _rounded(task.seconds),
                    **({"label": task.label} if task.label else {}),
                }
                for task in self.tasks
            ],
        }


Watcher = Callable[[RunResult], None]


def require_known(dag_ids: Sequence[str]) -> None:
    """Raise ConfigurationError for a DAG that is none of this pipeline's."""
    known = (*STAGES, *MANUAL)
    unknown = [dag_id for dag_id in dag_ids if dag_id not in known]
    if unknown:
        raise ConfigurationError(f"there is no DAG {', '.join(map(repr, unknown))}; there are {', '.join(known)}")


def run_through_api(
    api: AirflowApi, dag_id: str, conf: dict[str, Any], *, watch: Watcher, check: Callable[[], None]
) -> RunResult:
    """Trigger a DAG in a running Airflow and wait for its end; `watch` sees its progress, `check` that Airflow lives.

    Raises RunFailed when a task fails.
    """
    run = api.trigger(dag_id, conf)
    while True:
        check()
        run = api.run(dag_id, run.run_id)
        tasks = api.tasks(dag_id, run.run_id)
        seen = tuple(TaskResult(task.task_id, task.state, task.seconds, task.label) for task in tasks)
        result = RunResult(dag_id, run.run_id, run.state, run.seconds, seen)
        watch(result)
        if run.is_over:
            break
        time.sleep(POLL_S)
    if run.state != "success":
        failed = next((task for task in tasks if task.state == "failed"), None)
        lines = api.log(dag_id, run.run_id, failed) if failed is not None else []
        raise RunFailed(_failure(result, lines))
    return result


def run_here(dags: dict[str, DAG], dag_id: str, conf: dict[str, Any], log: Path) -> RunResult:
    """Run a DAG in this process to its end; what its tasks write goes to the file `log`.

    Raises RunFailed when a task fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    start = log.stat().st_size if log.exists() else 0
    dag = dags[dag_id]
    # nobody waits for this run, and Airflow 3.3 cannot read a deadline of a DAG that is run in its own process
    dag.deadline = None
    with _output_to(log):
        run = dag.test(logical_date=None, run_conf=conf)
        instances = sorted(run.get_task_instances(), key=lambda one: (one.start_date is None, one.start_date))
    tasks = tuple(TaskResult(one.task_id, _text(one.state), one.duration, one.rendered_map_index) for one in instances)
    seconds = (run.end_date - run.start_date).total_seconds() if run.start_date and run.end_date else None
    result = RunResult(dag_id, run.run_id, str(_text(run.state)), seconds, tasks)
    if result.state != "success":
        with log.open(errors="replace") as written:
            written.seek(start)
            lines = written.read().splitlines()
        failed = next((one for one in instances if _text(one.state) == "failed"), None)
        raise RunFailed(_failure(result, _of_task(lines, failed.task_id, failed.map_index) if failed else lines))
    return result


def _of_task(log: Sequence[str], task_id: str, map_index: int) -> Sequence[str]:
    """The part of a run's log that the last try of a task has written; others may have run after it."""
    begun = [
        number for number, line in enumerate(log) if f"{TASK_BEGINS} task_id={task_id} map_index={map_index}" in line
    ]
    if not begun:
        return log
    last = begun[-1]
    end = next((number for number in range(last + 1, len(log)) if TASK_BEGINS in log[number]), len(log))
    return log[last:end]


def load_dags(dags_dir: Path, log: Path) -> dict[str, DAG]:
    """Read the DAG files. Raises ConfigurationError with the reason when one cannot be."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with _output_to(log):
        from airflow.dag_processing.dagbag import DagBag

        from biomem_airflow.preload import parse

        parse()
        bag = DagBag(dag_folder=str(dags_dir))
    if bag.import_errors:
        path, reason = next(iter(bag.import_errors.items()))
        raise ConfigurationError(f"{path} cannot be loaded:\n{reason}")
    return dict(bag.dags)


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what this process writes to a file: Airflow and dbt write much, and the terminal is for the answer."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in enumerate(kept, start=1):
                os.dup2(copy, number)
                os.close(copy)


def _failure(result: RunResult, log: Sequence[str]) -> str:
    failed = ", ".join(task.name for task in result.tasks if task.state == "failed") or "no task"
    # what comes after is Airflow's own account of the end
    end = max((number for number, line in enumerate(log) if AFTER_TASK in line), default=len(log))
    tail = "\n".join(f"  {line}" for line in log[:end][-TAIL_LINES:])
    return f"{result.dag_id} ended as {result.state}: {failed} failed. Its log ends with:\n{tail}"


def _text(state: Any) -> str | None:
    return None if state is None else str(getattr(state, "value", state))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
