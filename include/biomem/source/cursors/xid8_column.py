"""An xid8 column: each row carries the transaction that wrote it last, under an index.

The source keeps the column by a trigger (`ddl`). A pull reads the rows whose transaction the last pull's snapshot did
not see: exactly what was committed since, without a scan. The 64 bits do not wrap around.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from biomem.errors import SourceError
from biomem.source.ddl import commented, object_name
from biomem.source.dsn import connect
from biomem.source.scanner import query
from biomem.source.watermark import Mark, scalar
from biomem.warehouse.connection import quote_identifier, quote_literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from biomem.source.mapping import SourceTable
    from biomem.source.reading import Reading


class Xid8Column:
    """Sees every row that was written; a deletion is found by comparing keys."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.column = reading.source.cursor_column or ""
        kind = reading.shape.columns.get(self.column)
        if kind == "xid8":
            return
        found = f"is {kind}, and must be xid8" if kind else "is missing"
        raise SourceError(
            f"column {self.column!r} of {reading.shape.label} {found}: cursor xid8_column reads by it. "
            f"`biomem source cursor --source {reading.source.name} --print-ddl` prints what makes it; "
            "or choose another cursor in source.yml"
        )

    def mark(self, con: duckdb.DuckDBPyConnection, before: Mark | None) -> Mark:
        # a standby's snapshot does not name the running transactions: there everything from xmin on counts as running
        snapshot = str(
            scalar(
                query(
                    con,
                    "select case when pg_is_in_recovery() then format('%1$s:%1$s:', pg_snapshot_xmin(now)) "
                    "else now::text end as snapshot from pg_current_snapshot() as now",
                )
            )
        )
        return Mark(int(snapshot.split(":", 1)[0]), snapshot)

    def changes(self, before: Mark) -> Iterator[str]:
        column, snapshot = quote_identifier(self.column), f"{quote_literal(before.position)}::pg_snapshot"
        # the first half is what the index can use
        yield self.reading.rows(
            f"{column} >= '{before.horizon:d}'::xid8 and not pg_visible_in_snapshot({column}, {snapshot})"
        )
        # a row without a mark was written while the trigger was off
        yield self.reading.rows(f"{column} is null")

    def suspects(self) -> Iterator[str]:
        yield from ()

    def release(self, mark: Mark) -> None:
        """Nothing is kept for us in the source."""


def ddl(source: SourceTable) -> str:
    """What the cursor needs in the source, to be run once by the table's owner; safe to repeat.

    The default fills rows of old at no cost (it is stable, so PostgreSQL stores it once). The trigger overrules what a
    statement writes into the column, and fires for replicated rows too.
    """
    column = quote_identifier(source.cursor_column or "")
    table = f"{quote_identifier(source.schema)}.{quote_identifier(source.table)}"
    function = f"{quote_identifier(source.schema)}.{quote_identifier(object_name(source, 'mark'))}"
    return f"""\
-- cursor xid8_column of source {commented(source.name)}: {commented(source.label)}
begin;
alter table {table} add column if not exists {column} xid8 default pg_current_xact_id();
create or replace function {function}() returns trigger language plpgsql as $biomem$
begin
    new.{column} := pg_current_xact_id();
    return new;
end
$biomem$;
create or replace trigger {quote_identifier(object_name(source, "trigger"))}
    before insert or update on {table} for each row execute function {function}();
alter table {table} enable always trigger {quote_identifier(object_name(source, "trigger"))};
commit;
-- outside a transaction, so that writers need not wait
create index concurrently if not exists {quote_identifier(object_name(source, "index"))} on {table} ({column});
"""


def check(source: SourceTable, dsn: str) -> list[str]:
    """What is still missing in the source, in plain words; empty when the cursor can be used."""
    with connect(dsn, autocommit=True) as pg:
        row = pg.execute(
            """
            select a.atttypid = 'xid8'::regtype,
                exists (
                    select from pg_index i
                    where i.indrelid = c.oid and i.indkey[0] = a.attnum and i.indisvalid and i.indpred is null
                ),
                (
                    select min(t.tgenabled::text) from pg_trigger t
                    where t.tgrelid = c.oid and not t.tgisinternal
                        and t.tgtype & 23 = 23 -- row, before, insert, update
                        and pg_get_functiondef(t.tgfoid) ~* 'pg_current_xact_id'
                )
            from pg_class c
            join pg_namespace n on n.oid = c.relnamespace
            left join pg_attribute a on a.attrelid = c.oid and a.attname = %s and not a.attisdropped
            where n.nspname = %s and c.relname = %s
            """,
            [source.cursor_column, source.schema, source.table],
        ).fetchone()
    if row is None:
        raise SourceError(f"there is no table {source.label}; correct `table:` of source {source.name!r} in source.yml")
    is_xid8, has_index, trigger = row
    missing = []
    if not is_xid8:
        missing.append(f"column {source.cursor_column!r} of type xid8")
    if trigger is None:
        missing.append("a trigger before insert or update that sets it to pg_current_xact_id()")
    elif trigger == "D":
        missing.append("the trigger is disabled: rows written now are missed")
    if not has_index:
        missing.append(f"an index on {source.cursor_column!r}: without it every poll scans the table")
    return missing
