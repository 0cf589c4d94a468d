"""One source table: whether it can be pulled as it is mapped, and the cursor for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem.errors import SourceError
from biomem.source import wake_up
from biomem.source.columns import find_columns, plan_accesses, plan_columns, read_column
from biomem.source.cursors import xid8_column
from biomem.source.cursors.slots import slot_name, slot_state
from biomem.source.doctor.findings import FIX, OK, WARN, Finding
from biomem.source.doctor.rows import examine_rows
from biomem.source.doctor.server import UTC_ZONES
from biomem.source.mapping import LOGICAL_SLOT, MEMORIES, REQUIRED, XID8_COLUMN, XMIN_WINDOW
from biomem.source.relation import Relation, look_up
from biomem.source.table import inspect_table
from biomem.warehouse.connection import qualified_name, quote_identifier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from biomem.source.casts import Value
    from biomem.source.mapping import Column, SourceTable
    from biomem.source.table import TableShape

# below this many rows the scan of each poll takes a fraction of a second (design: .34 s at 1M, .8 to 1.0 s at 5M)
LARGE_TABLE_ROWS = 1_000_000
SHOWN_IDS = 3


def examine_table(
    con: psycopg.Connection[tuple[Any, ...]], dsn: str, source: SourceTable, zone: str
) -> Iterator[Finding]:
    """Findings on one source. `con` is in autocommit, under our session limits; `zone` is the role's own time zone."""
    try:
        shape = inspect_table(con, source.schema, source.table, source.expressions)
        found = find_columns(source, shape)
        values = {ours: read_column(column, ours, shape) for ours, column in found.items()}
        plan = plan_columns(source, shape) if source.kind == MEMORIES else plan_accesses(source, shape)
    except SourceError as error:
        yield Finding("table", FIX, str(error))
        return
    relation = look_up(con, shape)
    yield _relation(relation)
    yield Finding("privileges", OK, "may be read")
    yield Finding("columns", OK, ", ".join(_read_from(ours, found[ours], value) for ours, value in values.items()))
    yield _key(con, plan.has_key, plan.key, found[REQUIRED[source.kind][0]], shape)
    yield _row_security(relation, shape)
    yield from _zoneless(values, zone)
    yield from examine_rows(con, source, shape, values, plan.select_list, relation.rows)
    yield _cursor(dsn, source, relation)
    if source.wake_up:
        yield examine_wake_up(con, source)


def recommend(source: SourceTable, rows: int, kind: str) -> Finding:
    """Which cursor suits the table, of which `rows` and `kind` (pg_class.relkind) are told, and why."""
    if rows < LARGE_TABLE_ROWS or kind == "m":
        why = "a refresh writes every row anew" if kind == "m" else "a poll scans it in a fraction of a second"
        return Finding("cursor", OK, f"{XMIN_WINDOW} is right: nothing to set up, and {why}")
    return Finding(
        "cursor",
        WARN,
        f"{XMIN_WINDOW} scans all of about {rows:,} rows at each poll (about {rows / 5e6:.1f} s)",
        f"`cursor: {XID8_COLUMN}` reads only what changed (`biomem source cursor --print-ddl --source {source.name}` "
        f"prints what it needs in the source); `cursor: {LOGICAL_SLOT}` sees deletions at once too",
    )


def _cursor(dsn: str, source: SourceTable, relation: Relation) -> Finding:
    """Whether the mapping's cursor has what it needs, or another suits better."""
    if source.cursor == XID8_COLUMN:
        missing = xid8_column.check(source, dsn)
        if not missing:
            return Finding("cursor", OK, f"{XID8_COLUMN} has its column, trigger and index")
        fix = f"let the table's owner run what `biomem source cursor --print-ddl --source {source.name}` prints"
        return Finding("cursor", FIX, f"{XID8_COLUMN} lacks {'; '.join(missing)}", fix)
    if source.cursor == LOGICAL_SLOT:
        state = slot_state(source, dsn)
        if state is None:
            fix = f"`biomem source slot create --source {source.name}`; the server needs wal_level = logical"
            return Finding("cursor", FIX, f"{LOGICAL_SLOT}: there is no slot {slot_name(source)}", fix)
        fix = "the next pull makes it anew and reads the whole table; pull more often, or raise max_slot_wal_keep_size"
        return Finding("cursor", WARN if state.is_lost else OK, state.describe(), fix if state.is_lost else None)
    return recommend(source, relation.rows, relation.kind)


def examine_wake_up(con: psycopg.Connection[tuple[Any, ...]], source: SourceTable) -> Finding:
    """Whether the table wakes the pipeline as its mapping says; without it the schedule takes everything in."""
    lacks = wake_up.find_problem(con, source)
    if lacks is None:
        return Finding("wake-up", OK, f"what is committed is told on channel {wake_up.channel(source)}")
    text = f"`wake_up` is on and nothing wakes: {lacks}. What is committed waits for its window, 30 s at most"
    fix = (
        f"let the table's owner run what `biomem source wake-up --print-ddl --source {source.name}` prints, or take "
        "`wake_up` out of source.yml"
    )
    return Finding("wake-up", FIX, text, fix)


def _read_from(ours: str, column: Column, value: Value) -> str:
    return f"{ours} <- {column.name or 'an expression'} ({value.kind})"


def _relation(relation: Relation) -> Finding:
    extent = f"about {relation.rows:,} rows, {relation.size} with indexes"
    if relation.is_unlogged:
        return Finding(
            "table",
            WARN,
            f"unlogged ({extent}): a crash of the server empties it, and every memory would count as deleted",
            "alter table ... set logged",
        )
    kinds = {"p": "partitioned table", "m": "materialized view"}
    kind = "table with tables that inherit" if relation.has_children else kinds.get(relation.kind, "table")
    return Finding("table", OK, f"{kind}, {extent}")


def _key(
    con: psycopg.Connection[tuple[Any, ...]], has_key: bool, key: str, column: Column, shape: TableShape
) -> Finding:
    shown = column.name or "the expression for the id"
    if has_key:
        return Finding("key", OK, f"{shown} is unique")
    table = qualified_name(shape.schema, shape.table)
    fix = f"create unique index concurrently on {table} ({quote_identifier(column.name)})" if column.name else None
    twice = con.execute(
        f"select {key} from {table} group by 1 having count({key}) > 1 order by 1 limit {SHOWN_IDS}".encode()
    ).fetchall()
    if twice:
        ids = ", ".join(repr(name) for (name,) in twice)
        mend = f"remove them; {fix}" if fix else "remove them, or make the expression tell them apart"
        return Finding("key", FIX, f"several rows have the same {shown} ({ids}), so nothing is pulled", mend)
    return Finding("key", WARN, f"{shown} has no unique index: each pull looks for duplicates in the whole table", fix)


def _row_security(relation: Relation, shape: TableShape) -> Finding:
    if not relation.has_policies:
        return Finding("row security", OK, "none applies to this user")
    table = qualified_name(shape.schema, shape.table)
    return Finding(
        "row security",
        WARN,
        "policies decide which rows this user sees: one that is hidden later counts as deleted",
        f"if all rows are meant: create policy biomem_reads on {table} for select to current_user using (true)",
    )


def _zoneless(values: Mapping[str, Value], zone: str) -> Iterator[Finding]:
    for ours, value in values.items():
        if value.kind == "timestamp without time zone" and zone not in UTC_ZONES:
            yield Finding(
                "time zone",
                WARN,
                f"{value.label} has no zone and is read as UTC, but sessions of this server live in {zone}",
                f"if it was written in that zone: {ours}: {{expression: \"{value.sql} at time zone '{zone}'\"}}",
            )
