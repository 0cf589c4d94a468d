"""Pulling the target's `memory.access_log`, append only, through the same window as the memories."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from biomem.source.cursors.xmin_window import HORIZON_SQL, window, wraparound
from biomem.source.dsn import connect
from biomem.source.scanner import attached, query, stage
from biomem.source.table import describe_table
from biomem.source.watermark import (
    Changes,
    Mark,
    PullResult,
    Watermark,
    next_batch,
    read_watermark,
    record_pull,
    save_watermark,
    scalar,
    why_whole,
)
from biomem.warehouse.connection import transaction

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

SCHEMA, TABLE = "memory", "access_log"
SOURCE_NAME = f"{SCHEMA}.{TABLE}"


def pull_access_log(
    con: duckdb.DuckDBPyConnection, *, dsn: str, as_of: datetime | None = None, run_id: str | None = None
) -> PullResult | None:
    """Append the accesses that are new since the last pull; None when the target has no access log yet.

    Raises SourceError, with the warehouse as it was, when the log cannot be read.
    """
    started = time.monotonic()
    if not _exists(dsn):
        return None
    shape = describe_table(dsn, SCHEMA, TABLE)
    before = read_watermark(con, SOURCE_NAME)
    with attached(con, dsn), transaction(con):
        horizon = int(scalar(query(con, HORIZON_SQL)))
        mark = Mark(horizon, str(horizon), wraparound(horizon, before.mark if before else None))
        reason = why_whole(before, shape.identity, mark)
        condition = "true" if reason or before is None else window(before.horizon)
        stage(
            con,
            "accesses",
            "select access_id::text as access_id, memory_id::text as memory_id, agent_id::text as agent_id, "
            f"accessed_at, kind::text as kind, grade::integer as grade from memory.access_log where {condition}",
        )
    polls, batch_before = (before.polls, before.batch_id) if before else (0, 0)
    with transaction(con):
        rows_read = int(scalar(con.execute("select count(*) from accesses")))
        batch_id = next_batch(con)
        changes = Changes(inserted=_append(con, batch_id), updated=0, deleted=0)
        if changes.total:
            record_pull(
                con,
                source_name=SOURCE_NAME,
                batch_id=batch_id,
                run_id=run_id,
                as_of=as_of,
                horizon_before=before.horizon if before else None,
                horizon_after=horizon,
                changes=changes,
                seconds=time.monotonic() - started,
            )
        last_batch = batch_id if changes.total else batch_before
        save_watermark(con, Watermark(SOURCE_NAME, mark, shape.identity, last_batch, polls + 1))
    return PullResult(
        source=SOURCE_NAME,
        rows_read=rows_read,
        rows_inserted=changes.inserted,
        rows_updated=0,
        rows_deleted=0,
        rows_skipped={},
        skipped_examples=[],
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
            [SCHEMA, TABLE],
        ).fetchone()
    return found is not None


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
