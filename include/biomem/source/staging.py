"""Reading what a pull needs, in one snapshot of the source, into temporary tables of the warehouse.

`pulled` holds the rows, `vanished` the ids whose row is gone; `source_keys`, when all keys were compared, every id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from biomem.errors import SourceError
from biomem.source.extent import measure
from biomem.source.scanner import query, stage
from biomem.source.watermark import Mark, Watermark, scalar, why_whole
from biomem.warehouse.connection import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from biomem.source.cursors import Cursor
    from biomem.source.reading import Reading

# up to here comparing all keys costs next to nothing, so that a deletion is seen by the very next pull
SMALL_SOURCE_ROWS = 100_000
SHOWN_IDS = 5


@dataclass(frozen=True)
class Staged:
    """What was read: as of `mark`; the whole table for the reason `full_because`, or only what changed."""

    mark: Mark
    full_because: str | None
    is_reconciled: bool


@dataclass(frozen=True)
class TooBig:
    """Nothing was read: the whole table must be, for the reason `full_because`, and that takes a backfill."""

    mark: Mark
    full_because: str


def stage_changes(
    con: duckdb.DuckDBPyConnection,
    reading: Reading,
    cursor: Cursor,
    before: Watermark | None,
    *,
    reconcile: bool,
    whole_because: str | None = None,
) -> Staged | TooBig:
    """Read what changed since `before`, or everything when that cannot be told and the table is not big.

    `whole_because` is the reason of somebody who wants everything read all the same.

    Raises SourceError when two rows have one id.
    """
    name = reading.source.name
    known = before.mark if before and before.identity == reading.identity else None
    with transaction(con):
        mark = cursor.mark(con, known)
        reason = why_whole(before, reading.identity, mark) or whole_because
        _refuse_duplicates(con, reading)
        if reason and measure(con, reading).is_big:
            return TooBig(mark, reason)
        selects = [reading.rows()] if reason or known is None else [*cursor.changes(known)]
        stage(con, "pulled", *selects or [reading.rows("false")])
        is_reconciled = bool(reconcile or reason or _is_turn(before, reading) or _is_small(con, name))
        if is_reconciled:
            stage(con, "source_keys", reading.keys())
            if not reason and _has_unseen_keys(con, name):
                reason = "rows came without a transaction of their own (an attached partition, a lifted row policy)"
                if measure(con, reading).is_big:
                    return TooBig(mark, reason)
                stage(con, "pulled", reading.rows())
            _find_missing(con, name)
        else:
            _find_deleted(con, cursor)
    return Staged(mark, reason, is_reconciled)


def stage_rest(con: duckdb.DuckDBPyConnection, reading: Reading, *, compare_keys: bool) -> None:
    """Read what a backfill of one snapshot leaves to do: the rows that cannot be taken and, if asked for, all keys."""
    with transaction(con):
        stage(con, "pulled", reading.rows("false"))
        unusable = f"select * from ({reading.keys()}) as keys where problem is not null"
        stage(con, "source_keys", reading.keys() if compare_keys else unusable)
        con.execute("create or replace temp table vanished (memory_id varchar)")
        if compare_keys:
            _find_missing(con, reading.source.name)


def set_aside_unusable(con: duckdb.DuckDBPyConnection, is_reconciled: bool) -> tuple[dict[str, int], list[str]]:
    """Take no row that has no id or no time that can be held; say how many there are, of the whole table if known."""
    table = "source_keys" if is_reconciled else "pulled"
    counts = con.execute(f"select problem, count(*) from {table} where problem is not null group by problem").fetchall()
    examples = con.execute(
        f"select coalesce(memory_id, 'a row without id') from {table} where problem is not null "
        f"order by memory_id nulls last limit {SHOWN_IDS}"
    ).fetchall()
    con.execute("delete from pulled where problem is not null")
    return dict(counts), [example for (example,) in examples]


def refuse_ids_of_other_sources(con: duckdb.DuckDBPyConnection, source_name: str) -> None:
    """Raise SourceError when `pulled` holds ids that another source has."""
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


def _is_turn(before: Watermark | None, reading: Reading) -> bool:
    return before is not None and (before.polls + 1) % reading.source.reconcile_every == 0


def _is_small(con: duckdb.DuckDBPyConnection, source_name: str) -> bool:
    few = f"select count(*) from (select 1 from raw.memories where source_name = ? limit {SMALL_SOURCE_ROWS + 1})"
    return int(scalar(con.execute(few, [source_name]))) <= SMALL_SOURCE_ROWS


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


def _find_missing(con: duckdb.DuckDBPyConnection, source_name: str) -> None:
    """What the warehouse has and the source's keys have not."""
    con.execute(
        "create or replace temp table vanished as select memory_id from raw.memories "
        "where source_name = ? and deleted_at is null "
        "and memory_id not in (select memory_id from source_keys where memory_id is not null)",
        [source_name],
    )


def _find_deleted(con: duckdb.DuckDBPyConnection, cursor: Cursor) -> None:
    """What the cursor saw change and the table has no more."""
    con.execute("create or replace temp table vanished (memory_id varchar)")
    selects = [*cursor.suspects()]
    if not selects:
        return
    stage(con, "suspects", *selects)
    con.execute(
        "insert into vanished select memory_id from suspects "
        "where memory_id not in (select memory_id from pulled where memory_id is not null)"
    )


def _refuse_duplicates(con: duckdb.DuckDBPyConnection, reading: Reading) -> None:
    plan, label = reading.plan, reading.shape.label
    if plan.has_key:
        return
    sql = f"select {plan.key} as memory_id from {reading.table} group by 1 having count({plan.key}) > 1 order by 1"
    twice = [row[0] for row in query(con, f"{sql} limit {SHOWN_IDS + 1}").fetchall()]
    if twice:
        column = plan.found["memory_id"]
        raise SourceError(
            f"{label} holds several rows with the same {column}: {_some(twice)}; nothing was changed. Remove the "
            f"duplicates, add a unique key on {column}, or map another column to memory_id in source.yml"
        )


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(repr(memory_id) for memory_id in ids[:SHOWN_IDS])
    return f"{shown} and more" if len(ids) > SHOWN_IDS else shown
