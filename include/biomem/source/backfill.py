"""Reading a big table whole: a portion of its pages at a time, each committed, so that a kill costs one portion.

One session reads one snapshot of the source. A session that is cut short leaves how far it came in `raw.backfills`; the
next one reads the rest in a snapshot of its own. What changed meanwhile lies after the mark that was taken before the
first page was read, and the pull that ends the backfill goes on from that mark and compares the keys:

- a row written since then carries a transaction that is not older than the mark, wherever it lies now,
- a row that no one wrote lies on the page where it lay, unless the table was rewritten, which starts the reading anew,
- a row that was deleted is missing among the keys.

Rows that no model has seen yet are put down as they come, without their arousal (`scoring`).
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from biomem.source.changes import SOURCE_COLUMNS, apply_changes
from biomem.source.dsn import connect
from biomem.source.progress import Progress, Report
from biomem.source.scanner import FORGOTTEN, adopt_snapshot, remote, stage
from biomem.source.staging import refuse_ids_of_other_sources
from biomem.source.watermark import Changes, Mark, Watermark, next_batch, record_pull, scalar
from biomem.warehouse.connection import quote_literal, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import duckdb

    from biomem.source.extent import Extent
    from biomem.source.reading import Reading

# the snapshot is kept by a session that has nothing to do while a portion is written
SNAPSHOT_TIMEOUT = "30min"


@dataclass(frozen=True)
class Backfill:
    """A backfill that has begun: everything before `next_page` is in the warehouse as it was at `mark` or later."""

    mark: Mark
    identity: str
    storage: str
    next_page: int
    rows: int
    sessions: int

    def as_watermark(self, source_name: str) -> Watermark:
        """What the pull that ends the backfill goes on from."""
        return Watermark(source_name, self.mark, self.identity, 0, 0)


@dataclass(frozen=True)
class Outcome:
    """What a session of a backfill did.

    `is_one_snapshot`: it read every page itself, and so what the table held at one moment; `is_first`: nothing of the
    source had been shown to a model before.
    """

    changes: Changes
    rows: int
    is_one_snapshot: bool
    is_first: bool


def read_backfill(con: duckdb.DuckDBPyConnection, source_name: str) -> Backfill | None:
    """The backfill that a former pull began and did not end."""
    row = con.execute(
        "select horizon, position, identity, storage, next_page, rows_read, sessions from raw.backfills "
        "where source_name = ?",
        [source_name],
    ).fetchone()
    return Backfill(Mark(int(row[0]), row[1]), *row[2:]) if row else None


def forget_backfill(con: duckdb.DuckDBPyConnection, source_name: str) -> None:
    """The backfill has ended."""
    con.execute("delete from raw.backfills where source_name = ?", [source_name])


def run_backfill(
    con: duckdb.DuckDBPyConnection,
    reading: Reading,
    backfill: Backfill,
    extent: Extent,
    *,
    dsn: str,
    as_of: datetime | None,
    run_id: str | None,
    report: Report,
) -> Outcome:
    """Read the pages from `backfill.next_page` on. Raises SourceError; what was committed until then stays."""
    name = reading.source.name
    began, rows_before = time.monotonic(), backfill.rows
    if backfill.sessions == 0:
        _clear(con, name)
    state = replace(backfill, sessions=backfill.sessions + 1)
    takes = _put_down if _is_unseen(con, name) else _merge
    changes = Changes(0, 0, 0)
    with _one_thread(con), _snapshot(dsn) as (holder, snapshot):
        step = extent.pages_at_once
        for first in range(state.next_page, max(extent.pages, 1), step):
            is_last = first + step >= extent.pages
            # the last portion is open: the table may have grown since it was measured
            upto = "" if is_last else f" and ctid < '({first + step},0)'"
            rows = reading.rows(f"ctid >= '({first},0)'{upto}")
            state = replace(state, next_page=first + step)
            taken, state = takes(con, reading, state, rows, snapshot, as_of=as_of, run_id=run_id)
            changes = changes.plus(taken)
            share = min(1.0, (first + step) / max(extent.pages, 1))
            report(Progress(name, "read", state.rows, round(state.rows / share), time.monotonic() - began, rows_before))
            # a session that says nothing for long is ended by the source
            holder.execute("select 1")
    return Outcome(changes, state.rows - rows_before, state.sessions == 1, takes is _put_down)


def _clear(con: duckdb.DuckDBPyConnection, source_name: str) -> None:
    """Drop what a backfill that is not gone on with has left, at once with its mark."""
    with transaction(con):
        forget_backfill(con, source_name)
        con.execute("delete from raw.memories where source_name = ? and text_arousal is null", [source_name])


def _is_unseen(con: duckdb.DuckDBPyConnection, source_name: str) -> bool:
    """Whether the warehouse holds nothing but rows of this source that still wait to be encoded."""
    seen = "select 1 from raw.memories where source_name <> ? or text_arousal is not null limit 1"
    return con.execute(seen, [source_name]).fetchone() is None


def _put_down(
    con: duckdb.DuckDBPyConnection,
    reading: Reading,
    state: Backfill,
    rows: str,
    snapshot: str,
    *,
    as_of: datetime | None,
    run_id: str | None,
) -> tuple[Changes, Backfill]:
    """Insert a portion as it is; a later snapshot's rows replace those of an earlier one."""
    columns = ", ".join(("memory_id", *SOURCE_COLUMNS))
    name = quote_literal(reading.source.name)
    insert = f"insert into raw.memories (source_name, {columns}, batch_id) select {name}, {columns}, 0 from"
    with transaction(con):
        adopt_snapshot(con, snapshot)
        if state.sessions == 1:
            wanted = f"problem is null and memory_id not in ({FORGOTTEN})"
            inserted = con.execute(f"{insert} {remote(rows)} where {wanted}")
        else:
            stage(con, "pulled", rows)
            con.execute("delete from raw.memories where memory_id in (select memory_id from pulled)")
            inserted = con.execute(f"{insert} pulled where problem is null")
        count = int(scalar(inserted))
        state = replace(state, rows=state.rows + count)
        _save(con, reading.source.name, state)
    return Changes(0, 0, 0), state


def _merge(
    con: duckdb.DuckDBPyConnection,
    reading: Reading,
    state: Backfill,
    rows: str,
    snapshot: str,
    *,
    as_of: datetime | None,
    run_id: str | None,
) -> tuple[Changes, Backfill]:
    """Compare a portion with what the warehouse has."""
    began = time.monotonic()
    with transaction(con):
        adopt_snapshot(con, snapshot)
        stage(con, "pulled", rows)
    with transaction(con):
        con.execute("delete from pulled where problem is not null")
        con.execute("create or replace temp table vanished (memory_id varchar)")
        refuse_ids_of_other_sources(con, reading.source.name)
        batch_id = next_batch(con)
        changes = apply_changes(con, reading.source.name, as_of, batch_id)
        if changes.total:
            record_pull(
                con,
                source_name=reading.source.name,
                batch_id=batch_id,
                run_id=run_id,
                as_of=as_of,
                horizon_before=None,
                horizon_after=state.mark.horizon,
                changes=changes,
                seconds=time.monotonic() - began,
            )
        state = replace(state, rows=state.rows + int(scalar(con.execute("select count(*) from pulled"))))
        _save(con, reading.source.name, state)
    return changes, state


def _save(con: duckdb.DuckDBPyConnection, source_name: str, state: Backfill) -> None:
    con.execute(
        "insert or replace into raw.backfills "
        "(source_name, horizon, position, identity, storage, next_page, rows_read, sessions) "
        "values (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            source_name,
            str(state.mark.horizon),
            state.mark.position,
            state.identity,
            state.storage,
            state.next_page,
            state.rows,
            state.sessions,
        ],
    )


@contextmanager
def _one_thread(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """One stream comes in and one thread is busy with it: others would only spin, at up to twice the CPU."""
    threads = scalar(con.execute("select current_setting('threads')"))
    con.execute("set threads = 1")
    try:
        yield
    finally:
        con.execute(f"set threads = {int(threads)}")


@contextmanager
def _snapshot(dsn: str) -> Iterator[tuple[Any, str]]:
    """A session of the source that keeps a snapshot, and the name by which others read the same one."""
    import psycopg

    with connect(dsn) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.read_only = True
        holder.execute("select set_config('idle_in_transaction_session_timeout', %s, false)", [SNAPSHOT_TIMEOUT])
        row = holder.execute("select pg_export_snapshot()").fetchone()
        assert row is not None
        yield holder, row[0]
