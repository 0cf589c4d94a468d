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
from biomem.source.columns import ColumnPlan, plan_columns
from biomem.source.encoding import SCORED_CHARACTERS, text_arousal
from biomem.source.scanner import attached, query, stage
from biomem.source.table import describe_table
from biomem.source.watermark import (
    HORIZON_SQL,
    Changes,
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
TEXTS_AT_ONCE = 10_000
SOURCE_COLUMNS = (
    "agent_id",
    "session_id",
    "speaker",
    "content",
    "occurred_at",
    "updated_at",
    "importance",
    "arousal",
    "tags",
    "metadata",
    "deleted_at",
)


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
        changes = _apply(con, source.name, as_of, batch_id, staged.is_reconciled)
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
    shape = describe_table(dsn, source.schema, source.table)
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


def _apply(
    con: duckdb.DuckDBPyConnection, source_name: str, as_of: datetime | None, batch_id: int, is_reconciled: bool
) -> Changes:
    _collect_changes(con)
    decided_at = _decision_time(con, as_of)
    con.execute(
        """
        insert into raw.revisions (memory_id, revision, content_hash, revised_at, batch_id)
        select
            changed.memory_id,
            coalesce(max(revisions.revision), 0) + 1,
            sha256(coalesce(any_value(changed.content), '')),
            -- the source's own time of the edit, if it keeps one
            coalesce(any_value(case when changed.has_new_update then changed.updated_at end), ?),
            ?
        from changed
        left join raw.revisions on revisions.memory_id = changed.memory_id
        where changed.is_edit
        group by changed.memory_id
        """,
        [decided_at, batch_id],
    )
    columns = (*SOURCE_COLUMNS, "text_arousal")
    con.execute(
        f"""
        merge into raw.memories as memories
        using changed on memories.memory_id = changed.memory_id
        when matched then update set
            {", ".join(f"{name} = changed.{name}" for name in columns)}, batch_id = $batch_id
        when not matched then insert
            (source_name, memory_id, {", ".join(columns)}, batch_id)
            values ($source_name, changed.memory_id, {", ".join(f"changed.{name}" for name in columns)}, $batch_id)
        """,
        {"batch_id": batch_id, "source_name": source_name},
    )
    con.execute("insert or ignore into raw.agents select distinct agent_id from changed")
    counts = con.execute(
        """
        select
            count(*) filter (is_new),
            count(*) filter (not is_new and not is_deletion),
            count(*) filter (not is_new and is_deletion)
        from changed
        """
    ).fetchone()
    assert counts is not None
    vanished = _bury_vanished(con, source_name, decided_at, batch_id) if is_reconciled else 0
    return Changes(counts[0], counts[1], counts[2] + vanished)


def _collect_changes(con: duckdb.DuckDBPyConnection) -> None:
    """Put what differs from the warehouse into `changed`; only new texts are scored for arousal."""
    is_distinct = " or ".join(f"pulled.{name} is distinct from memories.{name}" for name in SOURCE_COLUMNS)
    con.execute(
        f"""
        create or replace temp table changed as
        select
            pulled.* exclude (problem),
            memories.memory_id is null as is_new,
            memories.memory_id is not null and pulled.content is distinct from memories.content as is_edit,
            pulled.updated_at is distinct from memories.updated_at as has_new_update,
            pulled.deleted_at is not null and memories.deleted_at is null as is_deletion,
            case when pulled.content is not distinct from memories.content then memories.text_arousal end
                as text_arousal
        from pulled
        left join raw.memories as memories on memories.memory_id = pulled.memory_id
        where memories.memory_id is null or {is_distinct}
        """
    )
    _score_new_texts(con)


def _score_new_texts(con: duckdb.DuckDBPyConnection) -> None:
    # in plain Python: called from SQL, DuckDB's threads would wait for the one interpreter, at five times the cost
    import pyarrow as pa

    texts = con.execute(
        f"select memory_id, left(coalesce(content, ''), {SCORED_CHARACTERS}) as text from changed "
        "where text_arousal is null"
    ).to_arrow_reader(TEXTS_AT_ONCE)
    scored = pa.Table.from_batches(
        [
            pa.record_batch(
                {
                    "memory_id": batch["memory_id"],
                    "text_arousal": pa.array([text_arousal(text) for text in batch["text"].to_pylist()], pa.float64()),
                }
            )
            for batch in texts
        ],
        pa.schema({"memory_id": pa.string(), "text_arousal": pa.float64()}),
    )
    con.register("scored", scored)
    con.execute(
        "update changed set text_arousal = scored.text_arousal from scored where changed.memory_id = scored.memory_id"
    )
    con.unregister("scored")


def _decision_time(con: duckdb.DuckDBPyConnection, as_of: datetime | None) -> datetime | None:
    """When changes that the source does not date count as made: at `as_of`, or at the newest time in the data.

    Never before an instant that was computed or pulled already, for until then the source still said otherwise.
    """
    decided_at: datetime | None = scalar(
        con.execute(
            """
            select greatest(
                coalesce($as_of, greatest(
                    (select max(greatest(occurred_at, updated_at)) from raw.memories),
                    (select max(greatest(occurred_at, updated_at)) from changed)
                )),
                (select max(as_of) from raw.run_context),
                (select max(pulled_as_of) from raw.pulls)
            )
            """,
            {"as_of": as_of},
        )
    )
    return decided_at


def _bury_vanished(con: duckdb.DuckDBPyConnection, source_name: str, decided_at: datetime | None, batch_id: int) -> int:
    """Give memories whose row the source has no more a tombstone; returns how many."""
    buried = scalar(
        con.execute(
            "update raw.memories set deleted_at = ?, batch_id = ? where source_name = ? and deleted_at is null "
            "and memory_id not in (select memory_id from source_keys where memory_id is not null)",
            [decided_at, batch_id, source_name],
        )
    )
    return int(buried)


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(repr(memory_id) for memory_id in ids[:SHOWN_IDS])
    return f"{shown} and more" if len(ids) > SHOWN_IDS else shown
