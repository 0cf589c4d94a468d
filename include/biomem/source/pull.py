"""Pulling one source table into `raw.memories`: read a consistent picture first, then change the warehouse at once.

The source is read in one snapshot (horizon, rows, keys) into temporary tables and then left alone. Rows, revisions,
tombstones and the watermark go into the warehouse in one DuckDB transaction, so that a pull that dies anywhere has
done nothing, and one that is repeated does nothing twice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from biomem.errors import SourceError
from biomem.source.access_log import pull_access_log
from biomem.source.changes import apply_changes
from biomem.source.columns import ColumnPlan, plan_columns
from biomem.source.scanner import attached, query, stage
from biomem.source.table import describe_table
from biomem.source.watermark import (
    HORIZON_SQL,
    PullResult,
    Watermark,
    next_batch,
    read_watermark,
    record_pull,
    save_watermark,
    scalar,
)
from biomem.warehouse.connection import quote_identifier, transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import duckdb

    from biomem.source.mapping import SourceTable

# up to here comparing all keys costs next to nothing, so that a deletion is seen by the very next pull
SMALL_SOURCE_ROWS = 100_000
SHOWN_IDS = 5


@dataclass(frozen=True)
class _Staged:
    """What was read from the source into the temporary tables `pulled` and, when reconciled, `source_keys`."""

    before: Watermark | None
    after: Watermark
    is_full: bool
    is_reconciled: bool


def pull_all(
    con: duckdb.DuckDBPyConnection,
    sources: Sequence[SourceTable],
    *,
    source_dsn: str,
    target_dsn: str,
    as_of: datetime | None = None,
    run_id: str | None = None,
    reconcile: bool = False,
) -> list[PullResult]:
    """Pull every source table, then the access log of the target. See `pull_source` for the arguments and errors."""
    results = [
        pull_source(con, source, dsn=source_dsn, as_of=as_of, run_id=run_id, reconcile=reconcile) for source in sources
    ]
    accesses = pull_access_log(con, dsn=target_dsn, as_of=as_of, run_id=run_id)
    return [*results, accesses] if accesses else results


def pull_source(
    con: duckdb.DuckDBPyConnection,
    source: SourceTable,
    *,
    dsn: str,
    as_of: datetime | None = None,
    run_id: str | None = None,
    reconcile: bool = False,
) -> PullResult:
    """Bring the warehouse up to date with one source table.

    `as_of` becomes the time of deletions and of edits that the source itself does not date; without it the newest
    time in the data does. `reconcile` compares all keys now rather than at the next turn.
    Raises SourceError, with the warehouse as it was, when the table cannot be pulled as it is.
    """
    started = time.monotonic()
    staged = _stage(con, source, dsn, reconcile)
    with transaction(con):
        rows_read = int(scalar(con.execute("select count(*) from pulled")))
        skipped, examples = _set_aside_unusable(con, staged.is_reconciled)
        _refuse_ids_of_other_sources(con, source.name)
        batch_id = next_batch(con)
        changes = apply_changes(con, source.name, as_of, batch_id, staged.is_reconciled)
        before, after = staged.before, staged.after
        if changes.total:
            after = replace(after, batch_id=batch_id)
            seconds = time.monotonic() - started
            record_pull(con, run_id=run_id, as_of=as_of, before=before, after=after, changes=changes, seconds=seconds)
        save_watermark(con, after)
    return PullResult(
        source=source.name,
        rows_read=rows_read,
        rows_inserted=changes.inserted,
        rows_updated=changes.updated,
        rows_deleted=changes.deleted,
        rows_skipped=skipped,
        skipped_examples=examples,
        watermark_before=str(before.horizon) if before else None,
        watermark_after=str(after.horizon),
        is_full=staged.is_full,
        is_reconciled=staged.is_reconciled,
        batch_id=batch_id if changes.total else None,
        seconds=round(time.monotonic() - started, 3),
    )


def _stage(con: duckdb.DuckDBPyConnection, source: SourceTable, dsn: str, reconcile: bool) -> _Staged:
    shape = describe_table(dsn, source.schema, source.table, source.expressions)
    plan = plan_columns(source, shape)
    # a changed mapping changes every row, so it is part of what makes the table the same as before
    identity = f"{shape.identity}/{sha256(plan.select_list.encode()).hexdigest()[:12]}"
    table = f"{quote_identifier(shape.schema)}.{quote_identifier(shape.table)}"
    before = read_watermark(con, source.name)
    with attached(con, dsn), transaction(con):
        horizon = int(scalar(query(con, HORIZON_SQL)))
        is_full = before is None or not before.still_holds(identity, horizon)
        condition = "true" if is_full or before is None else before.condition()
        stage(con, "pulled", f"select {plan.select_list} from {table} where {condition}")
        polls = before.polls + 1 if before else 1
        is_reconciled = reconcile or is_full or polls % source.reconcile_every == 0 or _is_small(con, source.name)
        if is_reconciled:
            stage(con, "source_keys", f"select {plan.key_list} from {table}")
            if not is_full and _has_unseen_keys(con, source.name):
                # rows can come without a transaction of their own: an attached partition, a lifted row policy
                is_full = True
                stage(con, "pulled", f"select {plan.select_list} from {table}")
        _refuse_duplicates(con, plan, table, shape.label)
    after = Watermark(source.name, horizon, identity, before.batch_id if before else 0, polls)
    return _Staged(before, after, is_full, is_reconciled)


def _is_small(con: duckdb.DuckDBPyConnection, source_name: str) -> bool:
    rows = con.execute("select count(*) from raw.memories where source_name = ?", [source_name])
    return int(scalar(rows)) <= SMALL_SOURCE_ROWS


def _has_unseen_keys(con: duckdb.DuckDBPyConnection, source_name: str) -> bool:
    unseen = """
        select count(*) from source_keys
        where problem is null
            and memory_id not in (
                select memory_id from raw.memories
                where source_name = ? and (deleted_at is null or source_keys.is_deleted)
            )
            and memory_id not in (select memory_id from pulled where memory_id is not null)
    """
    return int(scalar(con.execute(unseen, [source_name]))) > 0


def _refuse_duplicates(con: duckdb.DuckDBPyConnection, plan: ColumnPlan, table: str, label: str) -> None:
    if plan.has_key:
        return
    sql = f"select {plan.key} as memory_id from {table} group by 1 having count({plan.key}) > 1 order by 1"
    twice = [row[0] for row in query(con, f"{sql} limit {SHOWN_IDS + 1}").fetchall()]
    if twice:
        column = plan.found["memory_id"]
        raise SourceError(
            f"{label} holds several rows with the same {column}: {_some(twice)}; nothing was changed. Remove the "
            f"duplicates, add a unique key on {column}, or map another column to memory_id in source.yml"
        )


def _set_aside_unusable(con: duckdb.DuckDBPyConnection, is_reconciled: bool) -> tuple[dict[str, int], list[str]]:
    """Take no row that has no id or no time that can be held; say how many there are, of the whole table if known."""
    table = "source_keys" if is_reconciled else "pulled"
    counts = con.execute(f"select problem, count(*) from {table} where problem is not null group by problem").fetchall()
    examples = con.execute(
        f"select coalesce(memory_id, 'a row without id') from {table} where problem is not null "
        f"order by memory_id nulls last limit {SHOWN_IDS}"
    ).fetchall()
    con.execute("delete from pulled where problem is not null")
    return dict(counts), [example for (example,) in examples]


def _refuse_ids_of_other_sources(con: duckdb.DuckDBPyConnection, source_name: str) -> None:
    shared = con.execute(
        "select memory_id, memories.source_name from raw.memories join pulled using (memory_id) "
        f"where memories.source_name <> ? order by memory_id limit {SHOWN_IDS + 1}",
        [source_name],
    ).fetchall()
    if shared:
        raise SourceError(
            f"source {source_name!r} holds ids that came from source {shared[0][1]!r} already: "
            f"{_some([row[0] for row in shared])}; nothing was changed. Give each source its own ids, "
            "or pull into another --home"
        )


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(repr(memory_id) for memory_id in ids[:SHOWN_IDS])
    return f"{shown} and more" if len(ids) > SHOWN_IDS else shown
