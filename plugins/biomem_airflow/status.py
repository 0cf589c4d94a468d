"""What `biomem status` tells: which Airflow runs, what the memory holds, when each rhythm last ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem.demo.postgres import connections, is_running
from biomem.errors import BiomemError
from biomem.source.dsn import redact
from biomem.source.mapping import load_sources
from biomem.warehouse.context import STAGES
from rich.table import Table
from rich.text import Text

from biomem_airflow.local import supervisor

if TYPE_CHECKING:
    from biomem.settings import Settings
    from biomem.source.mapping import SourceTable
    from rich.console import Console

# published tables whose rows are counted, in the order in which a memory passes through them
LAYERS = ("memories", "working_memory", "short_term", "long_term", "associations", "concepts", "semantic_network")


def collect(settings: Settings) -> dict[str, Any]:
    """Gather the status without waiting for anybody: readers ask PostgreSQL, never the warehouse that others write."""
    local = supervisor.running(settings)
    found: dict[str, Any] = {"home": str(settings.home), "airflow": None, "layers": {}, "stages": []}
    if local is not None:
        found["airflow"] = {
            "url": local.url,
            "user": local.user,
            "password_file": str(local.password_file),
            "is_ready": local.is_ready,
        }
    path = settings.warehouse_path
    found["warehouse"] = {"path": str(path), "bytes": path.stat().st_size if path.exists() else 0}
    if settings.source_dsn is None and not (settings.postgres_dir / "data").exists():
        found["source"] = {"server": "embedded, not made yet", "tables": []}
        return found
    was_running = is_running(settings)
    try:
        with connections(settings) as dsns:
            server = (
                f"embedded, {'running' if was_running else 'stopped'}" if dsns.is_embedded else redact(dsns.source_dsn)
            )
            tables = [_count(dsns.source_dsn, source) for source in load_sources(settings)]
            found["source"] = {"server": server, "tables": tables}
            found.update(_published(dsns.target_dsn))
    except BiomemError as error:
        found["source"] = {"server": "unreachable", "tables": [], "error": str(error)}
    return found


def show(found: dict[str, Any], console: Console) -> None:
    """Print the status for a person."""

    def say(what: Any) -> None:
        console.print(what, highlight=False, soft_wrap=True)

    airflow = found["airflow"]
    if airflow is None:
        say("Airflow: not running (`biomem up` starts it)")
    else:
        state = "" if airflow["is_ready"] else " (starting)"
        say(f"Airflow: {airflow['url']}{state}  user {airflow['user']}, password in {airflow['password_file']}")
    source = found["source"]
    tables = [
        f"{table['table']}, {table['error'] or format(table['rows'], ',') + ' rows'}" for table in source["tables"]
    ]
    say(Text(f"Source: {source.get('error') or '; '.join(tables) or 'no table yet'} ({source['server']})"))
    say(f"Warehouse: {found['warehouse']['path']}, {found['warehouse']['bytes'] / 1024**2:.1f} MB")
    if found["layers"]:
        say("Memory: " + ", ".join(f"{name} {count:,}" for name, count in found["layers"].items()))
    if found["stages"]:
        table = Table("rhythm", "as of", "published at", "run", box=None)
        for stage in found["stages"]:
            times = (f"{stage[key]:%Y-%m-%d %H:%M}" for key in ("as_of", "published_at"))
            table.add_row(stage["stage"], *times, stage["run_id"])
        say(table)


def _count(dsn: str, source: SourceTable) -> dict[str, Any]:
    """Rows of a source table, or in a few words why they cannot be counted."""
    import psycopg
    from psycopg import sql

    found: dict[str, Any] = {"name": source.name, "table": source.label, "rows": None, "error": None}
    try:
        with psycopg.connect(dsn) as connection:
            table = sql.Identifier(source.schema, source.table)
            row = connection.execute(sql.SQL("select count(*) from {}").format(table)).fetchone()
            found["rows"] = row[0] if row else 0
    except psycopg.errors.UndefinedTable:
        found["error"] = "not there yet"
    except psycopg.Error as error:
        found["error"] = error.diag.message_primary or "cannot be counted"
    return found


def _published(dsn: str) -> dict[str, Any]:
    import psycopg
    from psycopg import sql
    from psycopg.rows import dict_row

    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        known = connection.execute("select relname from pg_class where relnamespace = to_regnamespace('memory')")
        tables = {row["relname"] for row in known}
        layers = {}
        for name in LAYERS:
            if name in tables:
                query = sql.SQL("select count(*) as count from memory.{}").format(sql.Identifier(name))
                layers[name] = connection.execute(query).fetchall()[0]["count"]
        stages: list[dict[str, Any]] = []
        if "runs" in tables:
            stages = connection.execute(
                "select distinct on (stage) stage, run_id, as_of, published_at from memory.runs"
                " where stage = any(%s) order by stage, published_at desc",
                [list(STAGES)],
            ).fetchall()
    return {"layers": layers, "stages": stages}
