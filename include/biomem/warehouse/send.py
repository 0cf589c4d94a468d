"""One table of schema `memory`: what is to be sent to the target, by key and hash of what was sent before.

A window compares only what its models have written since the last publication (`published.seen`); all else compares
every row, large tables in slices before the publication (see `ahead`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biomem.errors import PublishError
from biomem.warehouse.published_tables import IN_SCOPE, IN_SLICE, PublishedTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    import duckdb
    import psycopg
    import pyarrow
    from psycopg.sql import Composable

    Target = psycopg.Connection[tuple[Any, ...]]

ROWS_AT_ONCE = 2_000


@dataclass(frozen=True)
class Run:
    """A run of a stage, as it stands beside what it publishes."""

    run_id: str
    stage: str
    as_of: datetime
    params_hash: str


@dataclass(frozen=True)
class Difference:
    """The rows of a table that the target has not got so (`changed`, with key and hash), and keys that are `gone`."""

    changed: pyarrow.Table
    gone: pyarrow.Table

    @property
    def rows(self) -> int:
        """How many rows differ."""
        return int(self.changed.num_rows + self.gone.num_rows)

    def and_also(self, other: Difference) -> Difference:
        """The rows of both, which have none in common."""
        import pyarrow

        return Difference(
            pyarrow.concat_tables([self.changed, other.changed]), pyarrow.concat_tables([self.gone, other.gone])
        )

    def split(self, rows: int) -> tuple[Difference, Difference]:
        """So many rows, and what is left."""
        changed = min(rows, self.changed.num_rows)
        return (
            Difference(self.changed.slice(0, changed), self.gone.slice(0, rows - changed)),
            Difference(self.changed.slice(changed), self.gone.slice(rows - changed)),
        )


def send_table(
    con: duckdb.DuckDBPyConnection,
    pg: Target,
    table: PublishedTable,
    run: Run,
    *,
    is_whole: bool = False,
    may_be_narrow: bool = False,
    difference: Difference | None = None,
) -> tuple[int, int]:
    """Send what changed in one table, or all of it; returns how many rows were written and deleted in the target.

    With `may_be_narrow` only what was written since the last publication is compared, where that can be told; with a
    `difference` nothing is.
    """
    if is_whole:
        con.execute("delete from published.rows where table_name = ?", [table.name])
    if difference is not None and not is_whole:
        _take_over(con, difference)
    elif may_be_narrow and not is_whole and _find_scope(con, table, run):
        _compare(con, table, _in_scope(table), _key_in_scope(table))
    else:
        _compare(con, table, table.select, "true")
    changed, gone = (con.execute(f"select count(*) from {name}").fetchall()[0][0] for name in ("changed", "gone"))
    if not (changed or gone or is_whole):
        return 0, 0
    columns = [name for name, *_ in con.execute("describe changed").fetchall() if name not in ("row_key", "row_hash")]
    deleted = _delete(con, pg, table) if gone else 0
    _copy(con, pg, table, columns)
    if is_whole:
        deleted += _delete_unknown(pg, table)
    written = _upsert(pg, table, columns, run)
    con.execute(
        "delete from published.rows where table_name = ? "
        "and row_key in (select row_key from gone union all select row_key from changed)",
        [table.name],
    )
    con.execute("insert into published.rows select ?, row_key, row_hash from changed", [table.name])
    return written, deleted


def compare_slice(
    con: duckdb.DuckDBPyConnection, table: PublishedTable, number: int, slices: int, *, at_most: int
) -> Difference | None:
    """What of slice `number` (from 0) of so many the target does not have as it should be; None if `at_most` are fewer.

    A row is in the slice that the first column of its key falls into.
    """
    part = f"hash({{}}) % {slices} = {number}"
    is_in = part.format(f"{table.key[0]}::varchar")
    select = f"select * from ({table.select.replace(IN_SLICE, is_in)}) where {is_in}"
    _compare(con, table, select, part.format("json_extract_string(row_key, '$[0]')"))
    if con.execute("select count(*) from differing").fetchall()[0][0] > at_most:
        return None
    return Difference(*(con.execute(f"from {name}").to_arrow_table() for name in ("changed", "gone")))


def _take_over(con: duckdb.DuckDBPyConnection, difference: Difference) -> None:
    for name in ("changed", "gone"):
        con.register("found", getattr(difference, name))
        con.execute(f"create or replace temp table {name} as from found")
        con.unregister("found")


def _compare(con: duckdb.DuckDBPyConnection, table: PublishedTable, select: str, sent_in: str) -> None:
    """Put the rows of `select` that were not sent so into `changed`, and the keys that it has no more into `gone`.

    It is compared with what was sent where `sent_in` holds.
    """
    _stage_outgoing(con, table, select)
    con.execute(
        f"""
        create or replace temp table differing as
        select row_key, outgoing.row_hash is null as is_gone
        from (select row_key, row_hash from outgoing) as outgoing
        full join (
            select row_key, row_hash from published.rows
            where table_name = $name and {sent_in}
        ) as sent
            using (row_key)
        where outgoing.row_hash is distinct from sent.row_hash
        """,
        {"name": table.name},
    )
    for name, rows in (
        ("changed", "from outgoing where row_key in (select row_key from differing where not is_gone)"),
        ("gone", "select row_key from differing where is_gone"),
    ):
        con.execute(f"create or replace temp table {name} as {rows}")


def _in_scope(table: PublishedTable) -> str:
    return table.select.replace(IN_SCOPE, f"{table.scoped_by} in (select scope_key from scope)")


def _key_in_scope(table: PublishedTable) -> str:
    if len(table.key) == 1:
        return "row_key in (select to_json([scope_key::varchar])::varchar from scope)"
    return "json_extract_string(row_key, '$[0]') in (select scope_key::varchar from scope)"


def _stage_outgoing(con: duckdb.DuckDBPyConnection, table: PublishedTable, select: str) -> None:
    """Put the rows of `select`, as they should be, with key and hash into `outgoing`."""
    import duckdb

    for model, definition in table.optional.items():
        con.execute(f"drop table if exists temp.{model}")
        if not _is_built(con, model):
            con.execute(f"create temp table {model} ({definition})")
    try:
        described: list[tuple[Any, ...]] = con.execute(f"describe {select}").fetchall()
    except duckdb.CatalogException as error:
        raise PublishError(
            f"table {table.name} cannot be published, a model it is made of was not built: {error}; run the stage's "
            "models first"
        ) from error
    columns = [str(name) for name, *_ in described]
    key = ", ".join(f"{name}::varchar" for name in table.key)
    con.execute(
        f"create or replace temp table outgoing as "
        f"select to_json([{key}])::varchar as row_key, hash({', '.join(columns)})::varchar as row_hash, * "
        f"from ({select})"
    )


def mark_in_warehouse(con: duckdb.DuckDBPyConnection, table: PublishedTable) -> str | None:
    """Id of the publication that last changed the table, as the warehouse knows it; None before there was one."""
    row = con.execute("select publish_id from published.mark where table_name = ?", [table.name]).fetchone()
    return row[0] if row else None


def note_seen(con: duckdb.DuckDBPyConnection, tables: Sequence[PublishedTable], stage: str) -> None:
    """Remember from where on rows of these tables were not compared yet (see the macro write_sequence)."""
    for table in tables:
        if not table.numbered or (stage != table.sleep and _sleeps(con, table)):
            continue
        con.execute(
            "insert or replace into published.seen "
            "select ?, max(sequence) + 1, (select coalesce(max(batch_id), 0) from raw.pulls) from raw.run_context",
            [table.name],
        )


def _find_scope(con: duckdb.DuckDBPyConnection, table: PublishedTable, run: Run) -> bool:
    """Put the keys of what was written since the last publication into `scope`; False when that cannot be told."""
    if not table.numbered:
        return False
    seen = con.execute(
        "select seen.sequence, seen.batch_id from published.seen as seen join raw.run_context as context "
        # a run that publishes again may have written again, under the number that was seen
        "on seen.sequence <= context.sequence where seen.table_name = ? and context.stage = ?",
        [table.name, run.stage],
    ).fetchone()
    if seen is None or _sleeps(con, table):
        return False
    numbers = dict(zip(("sequence", "batch_id"), seen, strict=True))
    newer = " union ".join(
        f"select {table.key[0]} as scope_key from {relation} where {number} >= {numbers[number]}"
        for relation, number in table.numbered.items()
    )
    con.execute(f"create or replace temp table scope as {newer}")
    return True


def _sleeps(con: duckdb.DuckDBPyConnection, table: PublishedTable) -> bool:
    """Whether a run of the table's stage `sleep` has begun since what was seen last, and was not published."""
    row = con.execute(
        "select 1 from raw.run_context where stage = ? "
        "and sequence >= coalesce((select sequence from published.seen where table_name = ?), 0)",
        [table.sleep, table.name],
    ).fetchone()
    return row is not None


def _is_built(con: duckdb.DuckDBPyConnection, model: str) -> bool:
    sql = "select 1 from information_schema.tables where table_catalog = current_database() and table_name = ?"
    return con.execute(sql, [model]).fetchone() is not None


def _copy(con: duckdb.DuckDBPyConnection, pg: Target, table: PublishedTable, columns: Sequence[str]) -> None:
    from psycopg import sql

    target, names = sql.Identifier("memory", table.name), sql.SQL(", ").join(map(sql.Identifier, columns))
    pg.execute("drop table if exists pg_temp.incoming")
    pg.execute(
        sql.SQL("create temp table incoming on commit drop as select {} from {} with no data").format(names, target)
    )
    rows = con.execute(f"select {', '.join(columns)} from changed")
    with pg.cursor().copy(sql.SQL("copy pg_temp.incoming ({}) from stdin").format(names)) as copy:
        for row in _rows(rows):
            copy.write_row(row)


def _delete(con: duckdb.DuckDBPyConnection, pg: Target, table: PublishedTable) -> int:
    """Delete what the warehouse has sent before and holds no more."""
    from psycopg import sql

    target, names = sql.Identifier("memory", table.name), sql.SQL(", ").join(map(sql.Identifier, table.key))
    pg.execute("drop table if exists pg_temp.departed")
    pg.execute(
        sql.SQL("create temp table departed on commit drop as select {} from {} with no data").format(names, target)
    )
    parts = ", ".join(f"json_extract_string(row_key, '$[{place}]')" for place in range(len(table.key)))
    with pg.cursor().copy(sql.SQL("copy pg_temp.departed ({}) from stdin").format(names)) as copy:
        for row in _rows(con.execute(f"select {parts} from gone")):
            copy.write_row(row)
    return pg.execute(
        sql.SQL("delete from {} as t using pg_temp.departed as s where {}").format(target, _same_key(table))
    ).rowcount


def _delete_unknown(pg: Target, table: PublishedTable) -> int:
    """Delete what is not among all the rows that were just sent."""
    from psycopg import sql

    return pg.execute(
        sql.SQL("delete from {} as t where not exists (select 1 from pg_temp.incoming as s where {})").format(
            sql.Identifier("memory", table.name), _same_key(table)
        )
    ).rowcount


def _upsert(pg: Target, table: PublishedTable, columns: Sequence[str], run: Run) -> int:
    from psycopg import sql

    names = [sql.Identifier(name) for name in columns]
    stamps = [sql.Identifier(name) for name in ("run_id", "params_hash", "as_of")]
    values = [sql.Identifier(name) for name in columns if name not in table.key]
    set_list = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in [*values, *stamps])
    old = sql.SQL(", ").join(sql.SQL("t.{}").format(name) for name in values)
    new = sql.SQL(", ").join(sql.SQL("excluded.{}").format(name) for name in values)
    return pg.execute(
        sql.SQL(
            "insert into {target} as t ({names}, {stamps}) "
            "select {names}, %(run_id)s, %(params_hash)s, %(as_of)s from pg_temp.incoming "
            "on conflict ({key}) do update set {set_list} where ({old}) is distinct from ({new})"
        ).format(
            target=sql.Identifier("memory", table.name),
            names=sql.SQL(", ").join(names),
            stamps=sql.SQL(", ").join(stamps),
            key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
            set_list=set_list,
            old=old,
            new=new,
        ),
        {"run_id": run.run_id, "params_hash": run.params_hash, "as_of": run.as_of},
    ).rowcount


def _same_key(table: PublishedTable) -> Composable:
    from psycopg import sql

    return sql.SQL(" and ").join(sql.SQL("t.{0} = s.{0}").format(sql.Identifier(name)) for name in table.key)


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(ROWS_AT_ONCE):
        yield from rows
