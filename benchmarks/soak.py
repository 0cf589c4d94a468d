"""A live Airflow under load: is every 30-second window met, how late is what was written, what does it cost.

Starts Airflow in a home of its own, with its own embedded PostgreSQL and ports; a writer commits memories all the time,
the sleep rhythms are triggered more often than their schedules would. At the end the writer stops, and what idle
windows cost is measured too. Prints a summary, and writes all of it as JSON. With `--wake-up` memories come in bursts,
the source starts a window at each, and idle windows are not waited for.

    python benchmarks/soak.py --minutes 60 --out soak.json
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
from biomem.demo.postgres import connections
from biomem.settings import load_settings
from biomem.source.mapping import load_sources
from biomem.source.wake_up import ddl
from biomem_airflow import commands
from biomem_airflow.local import supervisor
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biomem.settings import Settings
    from biomem_airflow.local.api import AirflowApi, TaskRun
    from biomem_airflow.local.state import LocalAirflow

WINDOW_S = 30
AWAKE = "short_term_memory"
SLEEP_EVERY_S = {"consolidation": 120, "nightly_decay": 300, "weekly_homeostasis": 600}
IDLE_WINDOWS = 4
BURST_EVERY_S = 17
SAMPLE_EVERY_S = 10
LOCK_ERRORS = ("Could not set lock", "Conflicting lock", "is in use by")
MODEL_TOOK = re.compile(r"OK created sql .* in ([0-9.]+)s\]")
CREATE = """
    create table if not exists public.memories (
        id bigint generated always as identity primary key, agent_id text not null, session_id text,
        content text not null, created_at timestamptz not null default now()
    )"""


@dataclass
class Writer:
    """Commits `per_window` memories a window, and sees when each commit becomes visible to readers.

    Evenly, or all that come in BURST_EVERY_S in one transaction.
    """

    source_dsn: str
    target_dsn: str
    per_window: int
    in_bursts: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    committed: dict[str, float] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)
    written: int = 0

    def write(self) -> None:
        every_s = BURST_EVERY_S if self.in_bursts else WINDOW_S / self.per_window
        burst = max(round(every_s * self.per_window / WINDOW_S), 1)
        with psycopg.connect(self.source_dsn, autocommit=True) as pg:
            while not self.stop.wait(every_s):
                with pg.transaction():
                    ids = [self._insert(pg) for _ in range(burst)]
                self.committed |= dict.fromkeys(ids, time.time())

    def _insert(self, pg: psycopg.Connection[Any]) -> str:
        number = self.written
        row = pg.execute(
            "insert into public.memories (agent_id, session_id, content) values (%s, %s, %s) returning id",
            [f"agent-{number % 5}", f"session-{number // 50}", _sentence(number)],
        ).fetchone()
        assert row is not None
        self.written += 1
        return str(row[0])

    def watch(self) -> None:
        with psycopg.connect(self.target_dsn, autocommit=True) as pg:
            while not (self.stop.is_set() and not self.committed):
                time.sleep(0.25)
                waiting = list(self.committed)
                try:
                    seen = pg.execute("select memory_id from memory.memories where memory_id = any(%s)", [waiting])
                except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                    continue  # nothing was published yet
                now = time.time()
                self.delays += [now - self.committed.pop(memory_id) for (memory_id,) in seen.fetchall()]
                if self.stop.is_set() and waiting and now - min(self.committed.values(), default=now) > 5 * WINDOW_S:
                    return


def main() -> None:
    """Run the soak with the given length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rows", type=int, default=200, help="memories written in a window of 30 s")
    parser.add_argument("--wake-up", action="store_true", help="memories come in bursts, each of which wakes a window")
    parser.add_argument("--port", type=int, default=8790)
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    options = parser.parse_args()
    if options.minutes <= 0 or options.rows < 1:
        parser.error("--minutes and --rows must be positive")
    with tempfile.TemporaryDirectory(prefix="biomem-soak-", ignore_cleanup_errors=True) as home:
        figures = _soak(load_settings(Path(home)), options)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    if figures[AWAKE]["missed"] or figures[AWAKE]["failed"] or figures["lock_errors"]:
        sys.exit(1)


def _soak(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    minutes, rows = options.minutes, options.rows
    console = Console(stderr=True)
    with ExitStack() as stack:
        dsns = stack.enter_context(connections(settings))
        with psycopg.connect(dsns.source_dsn, autocommit=True) as pg:
            pg.execute(CREATE)
            if options.wake_up:
                _let_wake(settings, pg)
        local = commands.up(settings, options.port, console)
        stack.callback(supervisor.stop, settings)
        api = local.api()
        stack.callback(api.close)
        _first_window(api)
        writer = Writer(dsns.source_dsn, dsns.target_dsn, rows, options.wake_up)
        began, processes = datetime.now(timezone.utc), _parts(local.supervisor_pid)
        samples: list[float] = []
        workers = [
            writer.write,
            writer.watch,
            lambda: _sleep_often(api, writer.stop),
            lambda: _sample(local, samples, writer.stop),
        ]
        threads = [threading.Thread(target=worker, daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        console.print(f"soaking for {minutes:g} minutes at {rows} memories a window")
        time.sleep(minutes * 60)
        ended, cpu = datetime.now(timezone.utc), _cpu_between(processes, _parts(local.supervisor_pid))
        writer.stop.set()
        for thread in threads[:2]:
            thread.join(6 * WINDOW_S)
        at_rest = {} if options.wake_up else _at_rest(api, local, settings, console)
        seconds = (ended - began).total_seconds()
        rhythms = {dag: _rhythm(api, dag, began, ended) for dag in (AWAKE, *SLEEP_EVERY_S)}
        overhead = _overhead(api, settings, began, ended)
        supervisor.stop(settings)
        return {
            "minutes": round(seconds / 60, 2),
            "rows_per_window": rows,
            "rows_written": writer.written,
            "rows_not_visible": len(writer.committed),
            **rhythms,
            "commit_to_visible_s": _spread(writer.delays),
            "cpu_share_of_a_core": {part: round(used / seconds, 3) for part, used in sorted(cpu.items())},
            **at_rest,
            "memory_mb": {"start": samples[0], "middle": samples[len(samples) // 2], "end": samples[-1]},
            "lock_errors": _lock_errors(settings),
            "task_overhead": overhead,
            "dbt_build_s": _dbt_build(settings),
        }


def _at_rest(api: AirflowApi, local: LocalAirflow, settings: Settings, console: Console) -> dict[str, Any]:
    """What windows with nothing new take, and all of Airflow beside them."""
    idle_from = datetime.now(timezone.utc)
    console.print("waiting for windows with nothing new")
    # what was last in mind has to leave it first
    time.sleep(_attention_s(settings) + WINDOW_S)
    before, since = _parts(local.supervisor_pid), time.monotonic()
    time.sleep((IDLE_WINDOWS + 1) * WINDOW_S)
    used = sum(_cpu_between(before, _parts(local.supervisor_pid)).values())
    idle = [run for run in api.runs(AWAKE, idle_from, datetime.now(timezone.utc)) if _is_idle(api, run)]
    return {
        "idle_window_s": {"windows": len(idle), **_spread([_seconds(run) for run in idle])},
        "cpu_share_of_a_core_idle": round(used / (time.monotonic() - since), 3),
    }


def _let_wake(settings: Settings, pg: psycopg.Connection[Any]) -> None:
    """What `wake_up: true` in source.yml and `biomem source wake-up --print-ddl` do."""
    (settings.home / "source.yml").write_text(
        "sources:\n  public.memories:\n    table: public.memories\n    wake_up: true\n    columns:\n"
        "      {id: id, agent_id: agent_id, session_id: session_id, content: content, occurred_at: created_at}\n"
    )
    (source,) = load_sources(settings)
    pg.execute(ddl(source))


def _first_window(api: AirflowApi) -> None:
    """Wait for the first window, which builds everything."""
    began = datetime.now(timezone.utc) - timedelta(minutes=5)
    while not any(run["state"] == "success" for run in api.runs(AWAKE, began, datetime.now(timezone.utc))):
        time.sleep(1)


def _sleep_often(api: AirflowApi, stop: threading.Event) -> None:
    due = {dag: time.monotonic() + every for dag, every in SLEEP_EVERY_S.items()}
    while not stop.wait(1):
        for dag, at in due.items():
            if time.monotonic() >= at:
                api.trigger(dag, {})
                due[dag] = at + SLEEP_EVERY_S[dag]


def _is_idle(api: AirflowApi, run: dict[str, Any]) -> bool:
    """Whether a window has ended after its pull, the rest skipped."""
    states = {task.task_id: task.state for task in api.tasks(AWAKE, run["dag_run_id"])}
    return run["state"] == "success" and states["publish"] == "skipped"


def _seconds(run: dict[str, Any]) -> float:
    return (datetime.fromisoformat(run["end_date"]) - datetime.fromisoformat(run["start_date"])).total_seconds()


def _rhythm(api: AirflowApi, dag: str, since: datetime, until: datetime) -> dict[str, Any]:
    runs = api.runs(dag, since, until)
    while any(run["state"] in ("queued", "running") for run in runs):
        time.sleep(1)
        runs = api.runs(dag, since, until)
    states = [run["state"] for run in runs]
    due = len(runs)
    if dag == AWAKE:
        due = int(until.timestamp() // WINDOW_S) - int(since.timestamp() // WINDOW_S)
    spread = _spread([_seconds(run) for run in runs if run["state"] == "success"])
    return {
        "due": due,
        "succeeded": states.count("success"),
        "failed": states.count("failed"),
        "missed": max(due - len(runs), 0),
        **{f"{name}_s": value for name, value in spread.items()},
    }


def _spread(values: list[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p95": None, "max": None}
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 2),
        "max": round(ordered[-1], 2),
    }


def _overhead(api: AirflowApi, settings: Settings, since: datetime, until: datetime) -> dict[str, float | None]:
    """Medians over the windows: the whole run, the time in which a task was at work and the time in which none was, and
    what dbt says its models took. Two tasks may be at work at a time.
    """
    parts: dict[str, list[float]] = {"run_s": [], "in_tasks_s": [], "between_tasks_s": [], "in_models_s": []}
    for run in api.runs(AWAKE, since, until)[-10:]:
        if run["state"] != "success":
            continue
        whole, tasks = _seconds(run), _at_work_s(api.tasks(AWAKE, run["dag_run_id"]))
        logs = settings.airflow_home / "logs" / "tasks" / f"dag_id={AWAKE}" / f"run_id={run['dag_run_id']}"
        models = [float(took) for log in logs.rglob("*.log") for took in MODEL_TOOK.findall(log.read_text())]
        for name, value in zip(parts, (whole, tasks, whole - tasks, sum(models)), strict=True):
            parts[name].append(value)
    return {name: round(statistics.median(values), 2) if values else None for name, values in parts.items()}


def _at_work_s(tasks: list[TaskRun]) -> float:
    """For how long any of the tasks was at work."""
    spans = sorted(
        (datetime.fromisoformat(task.began).timestamp(), task.seconds) for task in tasks if task.began and task.seconds
    )
    at_work = until = 0.0
    for began, seconds in spans:
        at_work += max(began + seconds - max(began, until), 0)
        until = max(until, began + seconds)
    return at_work


def _parts(supervisor_pid: int) -> dict[str, float]:
    """CPU seconds so far, by part of Airflow; what a part's ended children used counts as its tasks."""
    used: dict[str, float] = {}
    root = psutil.Process(supervisor_pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            name, times = _part(process.cmdline()), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used[name] = used.get(name, 0) + times.user + times.system
        used["tasks"] = used.get("tasks", 0) + times.children_user + times.children_system
    return used


def _part(command: list[str]) -> str:
    text = " ".join(command)
    for part in ("api-server", "dag-processor", "triggerer", "scheduler", "postgres"):
        if part in text:
            return part
    return "supervisor" if "biomem_airflow" in text else "other"


def _cpu_between(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {part: max(used - before.get(part, 0), 0) for part, used in after.items()}


def _sample(local: LocalAirflow, samples: list[float], stop: threading.Event) -> None:
    while not stop.is_set():
        root = psutil.Process(local.supervisor_pid)
        samples.append(round(sum(_own_memory(each) for each in [root, *root.children(recursive=True)]) / 1024**2))
        stop.wait(SAMPLE_EVERY_S)


def _own_memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().uss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _lock_errors(settings: Settings) -> int:
    logs: Iterable[Path] = (settings.airflow_home / "logs").rglob("*.log")
    return sum(any(error in log.read_text(errors="replace") for error in LOCK_ERRORS) for log in logs)


def _attention_s(settings: Settings) -> float:
    from biomem.parameters import load_parameters

    return float(load_parameters(settings)["attention_window_s"].value)


def _dbt_build(settings: Settings) -> float:
    """One `dbt build` of the same models from the shell, once Airflow has let go of the warehouse."""
    from biomem_airflow.stages import dbt_variables

    began = time.monotonic()
    folder = str(settings.dbt_dir)
    command = [str(Path(sys.executable).with_name("dbt")), "--quiet", "build", "--select", f"tag:{AWAKE}"]
    command += ["--exclude", "test_type:unit", "--project-dir", folder, "--profiles-dir", folder]
    command += ["--target-path", str(settings.home / "shell")]
    subprocess.run(command, check=True, env={**os.environ, **dbt_variables(settings)})
    return round(time.monotonic() - began, 2)


def _sentence(number: int) -> str:
    who = ("Ada", "Milo", "Noor", "the neighbour", "the team")[number % 5]
    what = ("planted", "mended", "read about", "painted", "remembered")[number // 5 % 5]
    thing = ("the apple trees", "the old clock", "the harbour", "a blue door", "the winter concert")[number // 25 % 5]
    return f"{who} {what} {thing} on day {number // 125}, for the {number}th time"


if __name__ == "__main__":
    main()
