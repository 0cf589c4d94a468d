"""The demo: a whole life through the real pipeline in a real Airflow, and a report of what is remembered at its end."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from biomem.demo.data import DemoData, load_demo
from biomem.demo.postgres import DATABASE, Connections, embedded
from biomem.errors import ServiceError
from biomem.warehouse.context import STAGES

from biomem_airflow import report, runs
from biomem_airflow.local import ports, supervisor
from biomem_airflow.progress import Progress
from biomem_airflow.signals import ended_by_signals

if TYPE_CHECKING:
    from pathlib import Path

    from biomem.demo.load import LoadOptions
    from biomem.settings import Settings
    from rich.console import Console


def demo(settings: Settings, input_file: Path | None, options: LoadOptions, port: int | None, console: Console) -> None:
    """Load the data, run the four rhythms through Airflow's API, print and write the report, stop everything.

    Always on the embedded PostgreSQL, whatever the environment names. Raises a BiomemError when anything fails.
    """
    begun = time.monotonic()
    progress = Progress(console)
    if (local := supervisor.running(settings)) is not None:
        raise ServiceError(
            f"Airflow of {settings.home} is live at {local.url}, and the demo looks back from the end of its data: stop"
            " it with `biomem down`, choose another home with --home, or load a file into it with `biomem load`"
        )
    if port is not None:
        ports.require_free(port)
    with ended_by_signals(), contextlib.ExitStack() as stack:
        with progress.step("starting PostgreSQL"):
            postgres = stack.enter_context(embedded(settings))
            dsn = postgres.dsn(DATABASE)
            connections = Connections(dsn, dsn, is_embedded=True)
        with progress.step("loading the sample life" if input_file is None else f"loading {input_file.name}"):
            data = load_demo(settings, connections, input_file, options)
            _forget_what_came_later(settings, data)
        progress.say(f"  {data.rows:,} memories, {data.accesses:,} accesses, up to {data.as_of:%Y-%m-%d %H:%M} UTC")
        version, results = _run_life(settings, connections, data, port, progress)
        facts = report.collect(settings, dsn, data, version, results)
    facts["seconds"] = round(time.monotonic() - begun, 1)
    settings.demo_dir.mkdir(parents=True, exist_ok=True)
    path = settings.demo_dir / "report.json"
    path.write_text(json.dumps(facts, indent=1, ensure_ascii=False, default=str) + "\n")
    report.show(facts, console)
    console.print(f"\n[dim]The same as JSON: {path}. Look around in it with `biomem up`.[/]", soft_wrap=True)


def _run_life(
    settings: Settings, connections: Connections, data: DemoData, port: int | None, progress: Progress
) -> tuple[str, list[runs.RunResult]]:
    conf: dict[str, Any] = {"as_of": data.as_of.isoformat(), "agent_id": None, "full_refresh": False}
    results = []
    with contextlib.ExitStack() as stack:
        with progress.step("starting Airflow"):
            chosen = ports.choose(port)
            local = stack.enter_context(
                supervisor.airflow(settings, chosen, connections, scheduled=False, tell=progress.tell)
            )
            api = stack.enter_context(contextlib.closing(local.api()))
        progress.say(f"  {local.url}  user {local.user}, password in {local.password_file}")
        for stage in STAGES:
            with progress.step(stage):
                results.append(runs.run_through_api(api, stage, conf, watch=progress.watch, check=local.check))
        version = api.version()
        progress.tell("stopping Airflow")
    return version, results


def _forget_what_came_later(settings: Settings, data: DemoData) -> None:
    """Begin with an empty warehouse when it has been taken beyond this life's end (`biomem up` takes it to today)."""
    from biomem.demo.data import remove_warehouse
    from biomem.warehouse.connection import open_warehouse

    if not settings.warehouse_path.exists():
        return
    with open_warehouse(settings, purpose="biomem demo") as con:
        later = con.execute("select 1 from raw.run_context where as_of > ?", [data.as_of]).fetchone()
    if later:
        remove_warehouse(settings.warehouse_path)
