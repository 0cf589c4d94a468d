"""`biomem doctor`: what is wrong with the running system, and what to do; it changes nothing."""

from __future__ import annotations

import contextlib
import shutil
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from biomem import __version__
from biomem.demo.postgres import connections, is_running
from biomem.errors import BiomemError
from biomem.source.doctor.findings import FIX, OK, WARN, Examination, Finding
from biomem.source.dsn import connect, normalise, place
from biomem.warehouse import target_schema
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import STAGES
from biomem.warehouse.schema import read_migrations, schema_version

from biomem_airflow.local import supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    import psycopg
    from biomem.settings import Settings

    Target = psycopg.Connection[tuple[Any, ...]]

MB = 1024**2
# how old a rhythm's last publication may be, in seconds: its period and what a busy machine takes
STALE_S = dict(zip(STAGES, (120.0, 2 * 5400.0, 26 * 3600.0, 8 * 86400.0), strict=True))
SKEW_WARN_S, SKEW_FIX_S = 2.0, 30.0
LOW_DISK_SHARE = 0.1
FORECAST_DAYS = 90
OLDEST_FORECAST_S = 3600.0
LESS_HISTORY = "make room; `keep_days` of the DAG housekeeping says how much history stays"


def examine(settings: Settings) -> list[Examination]:
    """Look at Airflow, the disk, the warehouse, and both databases; what cannot be looked at is a finding too."""
    now = datetime.now(timezone.utc)
    examinations = [
        Examination("airflow", str(settings.airflow_home), tuple(_airflow(settings))),
        Examination("disk", str(settings.home), tuple(_disk(settings))),
        Examination("warehouse", str(settings.warehouse_path), tuple(_warehouse(settings))),
    ]
    try:
        with _databases(settings) as dsns:
            for name, dsn in dsns.items():
                checks: list[Callable[[Target], Iterator[Finding]]] = [_clock]
                if name == "target":
                    checks += [_target_schema, lambda pg: _windows(pg, now), lambda pg: _growth(pg, settings, now)]
                examinations.append(Examination(name, place(dsn), tuple(_database(dsn, checks))))
    except BiomemError as error:
        fix = (
            "start that server, or mend its connection (BIOMEM_SOURCE_DSN, BIOMEM_TARGET_DSN); windows are made up for"
        )
        examinations.append(Examination("databases", "", (Finding("connection", FIX, str(error), fix),)))
    return examinations


@contextlib.contextmanager
def _databases(settings: Settings) -> Iterator[dict[str, str]]:
    """The connection strings of both databases, unchecked where they are named: each is looked at by itself."""
    if settings.source_dsn:
        source = normalise(settings.source_dsn)
        yield {"source": source, "target": normalise(settings.target_dsn) if settings.target_dsn else source}
        return
    if supervisor.running(settings) is not None and not is_running(settings):
        yield {}  # told with Airflow's parts; to connect would start it, which is the supervisor's to do
        return
    with connections(settings) as dsns:
        yield {"source": dsns.source_dsn, "target": dsns.target_dsn}


def _airflow(settings: Settings) -> Iterator[Finding]:
    local = supervisor.running(settings)
    if local is None:
        if (settings.airflow_home / "running.json").exists():
            text = "its supervisor was killed and what it started may still run: nobody restarts what dies"
            yield Finding("supervisor", FIX, text, "run `biomem up`: it ends what is left and goes on from there")
        else:
            yield Finding("supervisor", WARN, "Airflow is not running here", "run `biomem up`, if it should")
        return
    yield Finding("supervisor", OK, f"process {local.supervisor_pid} at {local.url}")
    if not is_running(settings):
        log = settings.postgres_dir / "server.log"
        text = f"the embedded PostgreSQL, which Airflow's database is in, has died; {log} says why"
        fix = "the supervisor starts it again within seconds: look again; if it stays so, `biomem down` and `biomem up`"
        yield Finding("postgres", FIX, text, fix)
        return
    for child in local.children:
        if child.is_running():
            continue
        text = f"process {child.pid} has died; {child.log} says why"
        yield Finding(
            child.name, WARN, text, "the supervisor starts it again within seconds; if it keeps dying, read that"
        )
    if not local.is_ready:
        yield Finding("health", WARN, "it is starting", "wait a minute")
        return
    with contextlib.closing(local.api()) as api:
        health = api.health()
        ill = {name: state for name, state in health.items() if state != "healthy"}
        if not health:
            text = f"{local.url} does not answer"
            yield Finding("health", FIX, text, "look at api-server.log; `biomem down` and `biomem up` start it afresh")
        elif ill:
            text = ", ".join(f"{name} is {state}" for name, state in ill.items())
            fix = "wait half a minute after a kill; otherwise `biomem down` and `biomem up`: nothing is lost by that"
            yield Finding("health", FIX, text, fix)
        else:
            yield Finding("health", OK, "every part is healthy")
            yield from _failures(api)


def _failures(api: Any) -> Iterator[Finding]:
    """The last run of each rhythm that has ended, when it failed."""
    now = datetime.now(timezone.utc)
    for stage in STAGES:
        ended = [run for run in api.runs(stage, now - timedelta(hours=1), now) if run["state"] in ("success", "failed")]
        if ended and ended[-1]["state"] == "failed":
            run_id = ended[-1]["dag_run_id"]
            failed = [task.task_id for task in api.tasks(stage, run_id) if task.state == "failed"]
            text = f"run {run_id} failed in {', '.join(failed) or 'no task of its own'}"
            yield Finding(
                stage, FIX, text, "its log in the UI ends with the reason; the next run takes up what was left"
            )


def _disk(settings: Settings) -> Iterator[Finding]:
    settings.home.mkdir(parents=True, exist_ok=True)
    usage = shutil.disk_usage(settings.home)
    text = f"{usage.free // MB:,} MB of {usage.total // MB:,} MB free"
    # a backup or a compaction writes the warehouse once more
    needed = supervisor.BYTES_NEEDED + _size(settings.warehouse_path)
    if usage.free < needed:
        fix = (
            f"make room: {needed // MB:,} MB are needed; windows that could not be written are made up for by the next"
        )
        yield Finding("space", FIX, text, fix)
    elif usage.free < LOW_DISK_SHARE * usage.total:
        yield Finding("space", WARN, text, LESS_HISTORY)
    else:
        yield Finding("space", OK, text)


def _warehouse(settings: Settings) -> Iterator[Finding]:
    if not settings.warehouse_path.exists():
        text = "there is none yet"
        yield Finding("file", WARN, text, "the first window makes it: `biomem up`, or `biomem run short_term_memory`")
        return
    try:
        with open_warehouse(settings, read_only=True, wait_s=5, purpose="biomem doctor") as con:
            version = schema_version(con)
            halted = con.execute(
                "select distinct clock.stage from raw.agent_clock as clock "
                "join raw.run_context as context on context.stage = clock.stage "
                "where clock.is_in_run and clock.begun_sequence = context.sequence "
                "and clock.completed_sequence <> clock.begun_sequence order by 1"
            ).fetchall()
    except BiomemError as error:
        yield Finding("file", WARN, str(error), "look again in a moment; the text says who has it or what to run")
        return
    yield Finding("schema", OK, f"version {version}, as biomem {__version__} writes it")
    for (stage,) in halted:
        text = f"a run of {stage} has begun and not been completed: it is at work, or was cut short"
        yield Finding("runs", WARN, text, "nothing, if it is at work; the next run repeats what a dead one left")


def _database(dsn: str, checks: list[Callable[[Target], Iterator[Finding]]]) -> Iterator[Finding]:
    try:
        with connect(dsn, autocommit=True) as pg:
            for check in checks:
                yield from check(pg)
    except BiomemError as error:
        fix = "start that server or mend the connection; what was missed meanwhile is made up for by the next window"
        yield Finding("connection", FIX, str(error), fix)


def _clock(pg: Target) -> Iterator[Finding]:
    before = datetime.now(timezone.utc)
    row = pg.execute("select clock_timestamp()").fetchone()
    after = datetime.now(timezone.utc)
    assert row is not None
    skew_s = (row[0] - before - (after - before) / 2).total_seconds()
    text = f"its clock is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} this one"
    if abs(skew_s) < SKEW_WARN_S:
        yield Finding("clock", OK, text)
        return
    fix = "synchronise both (NTP): a memory dated ahead waits for its window, one dated behind reopens earlier windows"
    yield Finding("clock", FIX if abs(skew_s) >= SKEW_FIX_S else WARN, text, fix)


def _target_schema(pg: Target) -> Iterator[Finding]:
    newest = len(read_migrations(target_schema.MIGRATIONS))
    if pg.execute("select to_regclass('memory.schema_version')").fetchone() == (None,):
        yield Finding("schema", WARN, "nothing was published yet", "the first window makes schema memory")
        return
    row = pg.execute("select max(version) from memory.schema_version").fetchone()
    assert row is not None
    if row[0] > newest:
        text = f"schema memory has version {row[0]}, this biomem knows up to {newest}"
        yield Finding("schema", FIX, text, "install the newer biomem")
    elif row[0] < newest:
        yield Finding("schema", WARN, f"version {row[0]} of {newest}", "the next window brings it up to date")
    else:
        yield Finding("schema", OK, f"version {newest}")


def _windows(pg: Target, now: datetime) -> Iterator[Finding]:
    if pg.execute("select to_regclass('memory.runs')").fetchone() == (None,):
        return
    for stage, limit_s in STALE_S.items():
        row = pg.execute(
            "select published_at, as_of from memory.runs where stage = %s order by sequence desc limit 1", [stage]
        ).fetchone()
        if row is None:
            continue
        age_s = (now - row[0]).total_seconds()
        text = f"last published {age_s:,.0f} s ago, as of {row[1]:%Y-%m-%d %H:%M:%S} UTC"
        if age_s <= limit_s:
            yield Finding(stage, OK, text)
        else:
            fix = "see above whether Airflow runs; is the DAG paused, or a run of it red? The next run makes up for all"
            yield Finding(stage, FIX, text, fix)


def _growth(pg: Target, settings: Settings, now: datetime) -> Iterator[Finding]:
    """What lies on the disk, and when it is full if it goes on like this."""
    if pg.execute("select to_regclass('memory.runs')").fetchone() == (None,):
        return
    row = pg.execute("select min(published_at), pg_database_size(current_database()) from memory.runs").fetchone()
    assert row is not None
    if row[0] is None:
        return
    logs = sum(_size(path) for path in (settings.airflow_home / "logs").rglob("*"))
    warehouse = _size(settings.warehouse_path)
    text = f"warehouse {warehouse / MB:,.0f} MB, published {row[1] / MB:,.0f} MB, Airflow's logs {logs / MB:,.0f} MB"
    age_s = (now - row[0]).total_seconds()
    if age_s < OLDEST_FORECAST_S:
        yield Finding("growth", OK, f"{text}; a forecast needs an hour")
        return
    per_day = (warehouse + row[1] + logs) / age_s * 86400
    days = shutil.disk_usage(settings.home).free / max(per_day, 1)
    text += f"; {per_day / MB:,.0f} MB a day on average, the disk is full in {days:,.0f} days"
    if days >= FORECAST_DAYS:
        yield Finding("growth", OK, text)
    else:
        yield Finding("growth", WARN, text, LESS_HISTORY)


def _size(path: Path) -> int:
    """Bytes of a file; 0 when it has gone meanwhile, or is none."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size if path.is_file() else 0
    return 0
