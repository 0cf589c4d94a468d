"""Pulling access logs, append only, by the xmin window: the target's `memory.access_log`, and the user's own."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import TYPE_CHECKING

from biomem.source.columns import plan_accesses
from biomem.source.cursors.xmin_window import HORIZON_SQL, window, wraparound
from biomem.source.dsn import connect
from biomem.source.mapping import ACCESS_LOG, TARGET_LOG, SourceTable
from biomem.source.scanner import attached, query, stage
from biomem.source.table import describe_table
from biomem.source.watermark import (
    Changes,
    Mark,
    PullResult,
    Watermark,
    next_batch,
    note_complete,
    read_watermark,
    record_pull,
    save_watermark,
    scalar,
    why_whole,
)
from biomem.warehouse.connection import qualified_name, transaction

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

SHOWN_IDS = 5
TARGET = SourceTable(TARGET_LOG, "memory", "access_log", kind=ACCESS_LOG)


def pull_access_log(
    con: duckdb.DuckDBPyConnection, *, dsn: str, as_of: datetime | None = None, run_id: str | None = None
) -> PullResult | None:
    """Pull the target's own log; None when the target has none yet. See `pull_accesses`."""
    return pull_accesses(con, TARGET, dsn=dsn, as_of=as_of, run_id=run_id) if _exists(dsn) else None


def pull_accesses(
    con: duckdb.DuckDBPyConnection,
    source: SourceTable,
    *,
    dsn: str,
    as_of: datetime | None = None,
    run_id: str | None = None,
) -> PullResult:
    """Append the accesses that are new since the last pull; what is gone from the log stays.

    Raises SourceError, with the warehouse as it was, when the log cannot be read.
    """
    started = time.monotonic()
    shape = describe_table(dsn, source.schema, source.table, source.expressions)
    select_list = plan_accesses(source, shape).select_list
    identity = f"{shape.identity}/{sha256(select_list.encode()).hexdigest()[:12]}"
    before = read_watermark(con, source.name)
    with attached(con, dsn), transaction(con):
        horizon = int(scalar(query(con, HORIZON_SQL)))
        mark = Mark(horizon, str(horizon), wraparound(horizon, before.mark if before else None))
        reason = why_whole(before, identity, mark)
        condition = "true" if reason or before is None else window(before.horizon)
        table = qualified_name(source.schema, source.table)
        stage(con, "accesses", f"select {select_list} from {table} where {condition}")
    polls, batch_before = (before.polls, before.batch_id) if before else (0, 0)
    with transaction(con):
        rows_read = int(scalar(con.execute("select count(*) from accesses")))
        skipped, examples = _set_aside_unusable(con)
        if source.name != TARGET_LOG:
            _mark_as_of(con, source.name)
        batch_id = next_batch(con)
        changes = Changes(inserted=_append(con, batch_id), updated=0, deleted=0)
        if changes.total:
            record_pull(
                con,
                source_name=source.name,
                batch_id=batch_id,
                run_id=run_id,
                as_of=as_of,
                horizon_before=before.horizon if before else None,
                horizon_after=horizon,
                changes=changes,
                seconds=time.monotonic() - started,
            )
        last_batch = batch_id if changes.total else batch_before
        save_watermark(con, Watermark(source.name, mark, identity, last_batch, polls + 1))
    note_complete(con, source.name, as_of)
    return PullResult(
        source=source.name,
        rows_read=rows_read,
        rows_inserted=changes.inserted,
        rows_updated=0,
        rows_deleted=0,
        rows_skipped=skipped,
        skipped_examples=examples,
        watermark_before=str(before.horizon) if before else None,
        watermark_after=str(horizon),
        is_full=bool(reason),
        full_because=reason if before else None,
        is_reconciled=False,
        batch_id=batch_id if changes.total else None,
        seconds=round(time.monotonic() - started, 3),
    )


def _exists(dsn: str) -> bool:
    with connect(dsn, autocommit=True) as pg:
        found = pg.execute(
            "select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where n.nspname = %s and c.relname = %s",
            [TARGET.schema, TARGET.table],
        ).fetchone()
    return found is not None


def _set_aside_unusable(con: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], list[str]]:
    """Take no access that lacks an id, a memory or a time; say how many there are, and some."""
    counts = con.execute("select problem, count(*) from accesses where problem is not null group by problem").fetchall()
    examples = con.execute(
        "select coalesce(access_id, 'a row without id') from accesses where problem is not null "
        f"order by access_id nulls last limit {SHOWN_IDS}"
    ).fetchall()
    con.execute("delete from accesses where problem is not null")
    return dict(counts), [example for (example,) in examples]


def _mark_as_of(con: duckdb.DuckDBPyConnection, source_name: str) -> None:
    """Keep the ids of one log apart from those of every other; `~` is what `_append` sets before a batch."""
    con.execute("update accesses set access_id = replace($name || ':' || access_id, '~', '%7E')", {"name": source_name})


def _append(con: duckdb.DuckDBPyConnection, batch_id: int) -> int:
    """Add the accesses that are not in the warehouse yet; returns how many.

    A log that was restored from a backup or made anew counts its ids from an earlier number again: an id that is
    taken by another access gets the batch as a suffix, so that no access is lost.
    """
    rows = con.execute(
        """
        insert into raw.access_log (access_id, memory_id, agent_id, accessed_at, kind, grade, batch_id)
        select
            accesses.access_id || case when taken.access_id is null then '' else '~' || $batch_id end,
            accesses.memory_id, accesses.agent_id, accesses.accessed_at, accesses.kind, accesses.grade, $batch_id
        from accesses
        left join (select distinct split_part(access_id, '~', 1) as access_id from raw.access_log) as taken
            on taken.access_id = accesses.access_id
        where not exists (
            select 1 from raw.access_log as known
            where split_part(known.access_id, '~', 1) = accesses.access_id
                and known.memory_id = accesses.memory_id and known.agent_id = accesses.agent_id
                and known.accessed_at = accesses.accessed_at
                and known.kind = accesses.kind and known.grade = accesses.grade
        )
        """,
        {"batch_id": batch_id},
    )
    return int(scalar(rows))
