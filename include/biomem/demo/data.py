"""The demo's data: the sample life or any file, kept apart from what belongs to somebody.

A table that the demo filled is noted in `biomem_demo.provenance`. Only such a table is ever emptied for another input,
and only while it holds what the demo put there. Emptying it also resets what was made from it: the home's warehouse and
the target's schema `memory`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomem.demo.load import LoadOptions, identifier, load_in_transaction, translated
from biomem.errors import InputError, SourceError
from biomem.warehouse.lock import warehouse_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from biomem.demo.postgres import Connections
    from biomem.settings import Settings

SAMPLE_LIFE = Path(__file__).parent / "sample_life"
WINDOW_S = 30
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# is_settled: whether what was made from the data before was cleared away; a run killed in between leaves it false
PROVENANCE_DDL = """
create schema if not exists biomem_demo;
create table if not exists biomem_demo.provenance (
    table_name text primary key, input_name text not null, input_sha256 text not null, rows bigint not null,
    loaded_at timestamptz not null default now(), is_settled boolean not null)"""
NOTE = """
insert into biomem_demo.provenance (table_name, input_name, input_sha256, rows, is_settled)
values (%s, %s, %s, %s, %s)
on conflict (table_name) do update set input_name = excluded.input_name, input_sha256 = excluded.input_sha256,
    rows = excluded.rows, loaded_at = now(), is_settled = excluded.is_settled"""


@dataclass(frozen=True)
class DemoData:
    """What the demo runs on. `as_of` is when this life ends: the demo looks back from there, not from today."""

    table: str
    rows: int
    accesses: int
    as_of: datetime
    replaced: bool  # other demo data was there before and is gone
    unchanged: bool  # the very same data was there already


@dataclass(frozen=True)
class _Provenance:
    input_name: str
    input_sha256: str
    rows: int
    is_settled: bool


def load_demo(
    settings: Settings,
    connections: Connections,
    input_file: Path | None = None,
    options: LoadOptions | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> DemoData:
    """See to it that the source table holds the demo's data: `input_file`, or the sample life without one.

    Raises InputError when the file cannot be loaded (the old data stays), SourceError when the table holds memories
    that are not the demo's, WarehouseError when another process is using the warehouse.
    """
    import psycopg

    table = settings.source_table
    options = options or LoadOptions()
    paths = [input_file] if input_file else sorted(SAMPLE_LIFE.glob("*.jsonl"))
    name = input_file.name if input_file else "sample life"
    with (
        translated(table),
        psycopg.connect(connections.source_dsn, autocommit=True) as source,
        psycopg.connect(connections.target_dsn, autocommit=True) as other,
    ):
        target = source if connections.source_dsn == connections.target_dsn else other
        digest = _digest(paths, options)
        with source.transaction():
            source.execute(PROVENANCE_DDL)
        known, rows = _provenance(source, table), _count(source, table)
        is_same = known is not None and known.input_sha256 == digest and rows > 0
        is_replacing = known is not None and not is_same
        _refuse_foreign(table, known, rows, is_same=is_same)
        with warehouse_lock(settings.home, purpose="biomem demo"):
            if not is_same:
                with source.transaction(), target.transaction():
                    if is_replacing:
                        _empty(source, target, table)
                    report = load_in_transaction(paths, source, target, table=table, options=options, on_bytes=on_bytes)
                    source.execute(NOTE, [table, name, digest, report.memories, not is_replacing])
            if is_replacing or (known is not None and not known.is_settled):
                remove_warehouse(settings.warehouse_path)
                source.execute("update biomem_demo.provenance set is_settled = true where table_name = %s", [table])
        return DemoData(
            table=table,
            rows=_count(source, table),
            accesses=_count(target, "memory.access_log"),
            as_of=end_of_life(source, table, target),
            replaced=is_replacing,
            unchanged=is_same,
        )


def end_of_life(
    source: psycopg.Connection[Any], table: str = "public.memories", target: psycopg.Connection[Any] | None = None
) -> datetime:
    """Return the end of the 30-second window that holds the newest memory or access: the natural `as_of` of past data.

    Raises InputError when there is no memory.
    """
    from psycopg import sql

    newest: list[Any] = [
        source.execute(sql.SQL("select max(occurred_at) from {}").format(identifier(table))).fetchone(),
    ]
    log = target or source
    if _exists(log, "memory.access_log"):
        newest.append(log.execute("select max(accessed_at) from memory.access_log").fetchone())
    moments: list[datetime] = [row[0] for row in newest if row and row[0] is not None]
    if not moments:
        raise InputError(f"{table} holds no memories yet: load some with `biomem load FILE`")
    windows = (max(moments) - EPOCH) // timedelta(seconds=WINDOW_S) + 1
    return EPOCH + timedelta(seconds=WINDOW_S) * windows


def _digest(paths: list[Path], options: LoadOptions) -> str:
    digest = hashlib.sha256(json.dumps([options.columns, options.split], sort_keys=True).encode())
    for path in paths:
        try:
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        except FileNotFoundError:
            raise InputError(f"there is no file {path}") from None
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    return digest.hexdigest()


def _provenance(source: psycopg.Connection[Any], table: str) -> _Provenance | None:
    row = source.execute(
        "select input_name, input_sha256, rows, is_settled from biomem_demo.provenance where table_name = %s", [table]
    ).fetchone()
    return _Provenance(*row) if row else None


def _refuse_foreign(table: str, known: _Provenance | None, rows: int, *, is_same: bool) -> None:
    if known is None and rows > 0:
        raise SourceError(
            f"{table} holds {rows:,} memories that the demo did not put there, and the demo never replaces those:"
            " run it with another --home"
        )
    if known is not None and not is_same and rows not in (0, known.rows):
        raise SourceError(
            f"{table} holds {rows:,} memories, {known.rows:,} of them from the demo ({known.input_name}): others"
            " have come in or gone since, and the demo never replaces those. Run it with another --home"
        )


def _empty(source: psycopg.Connection[Any], target: psycopg.Connection[Any], table: str) -> None:
    from psycopg import sql

    target.execute("drop schema if exists memory cascade")
    if _exists(source, table):
        source.execute(sql.SQL("truncate {}").format(identifier(table)))


def remove_warehouse(path: Path) -> None:
    """Delete the warehouse at `path` with its write-ahead log; the log in PostgreSQL, from which it is built, stays."""
    for file in (path, path.with_name(path.name + ".wal")):
        file.unlink(missing_ok=True)
    shutil.rmtree(path.with_name(path.name + ".tmp"), ignore_errors=True)


def _exists(connection: psycopg.Connection[Any], table: str) -> bool:
    row = connection.execute("select to_regclass(%s) is not null", [identifier(table).as_string(connection)]).fetchone()
    return row is not None and bool(row[0])


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    from psycopg import sql

    if not _exists(connection, table):
        return 0
    row = connection.execute(sql.SQL("select count(*) from {}").format(identifier(table))).fetchone()
    return int(row[0]) if row else 0
