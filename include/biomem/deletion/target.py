"""Removing memories from schema `memory` beyond what publishing takes away, and their bytes from the tables' files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem.warehouse.removal import MEMORY_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

# it holds the row that says that the memory was deleted; publishing removes the others
LEDGER = "decisions"
LOCK_TIMEOUT = "30s"
STATISTICS = "pg_catalog.pg_statistic"


def sweep(pg: psycopg.Connection[Any], ids: Sequence[str]) -> dict[str, int]:
    """Delete every row of schema `memory` that names one of the memories; rows deleted per table.

    For what no publication owns: the access log, indexes and whatever else is kept beside the published tables.
    """
    from psycopg import sql

    deleted = {}
    for table, columns in _tables(pg).items():
        if table == LEDGER or not columns:
            continue
        named = sql.SQL(" or ").join(sql.SQL("{} = any(%(ids)s)").format(sql.Identifier(name)) for name in columns)
        statement = sql.SQL("delete from {} where {}").format(sql.Identifier("memory", table), named)
        if rows := pg.execute(statement, {"ids": list(ids)}).rowcount:
            deleted[table] = rows
    return deleted


def count(pg: psycopg.Connection[Any], ids: Sequence[str]) -> dict[str, int]:
    """Rows of schema `memory` that name one of the memories, per table."""
    from psycopg import sql

    found = {}
    for table, columns in _tables(pg).items():
        if not columns:
            continue
        named = sql.SQL(" or ").join(sql.SQL("{} = any(%(ids)s)").format(sql.Identifier(name)) for name in columns)
        statement = sql.SQL("select count(*) from {} where {}").format(sql.Identifier("memory", table), named)
        row = pg.execute(statement, {"ids": list(ids)}).fetchone()
        if row and row[0]:
            found[table] = int(row[0])
    return found


def vacuum(pg: psycopg.Connection[Any]) -> list[str]:
    """Rewrite the tables of schema `memory`, so that deleted rows are no longer in their files; what was not possible.

    `pg` must be in autocommit. Each table is locked for as long as it is rewritten.
    """
    from psycopg import Error, sql

    pg.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
    left = []
    for table in _tables(pg):
        try:
            pg.execute(sql.SQL("vacuum (full, analyze) {}").format(sql.Identifier("memory", table)))
        except Error as error:
            left.append(f"memory.{table} was not rewritten ({error.diag.message_primary or 'the connection broke'})")
    # the planner's statistics quote frequent values, and their old versions stay until that table is rewritten too
    if pg.execute("select rolsuper from pg_roles where rolname = current_user").fetchone() == (True,):
        pg.execute(f"vacuum full {STATISTICS}")
    else:
        left.append(f"{STATISTICS} was not rewritten (only a superuser may): vacuum full {STATISTICS}")
    return left


def _tables(pg: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Every table of schema `memory` with its columns that name memories."""
    rows = pg.execute(
        """
        select c.relname::text,
            array(
                select a.attname::text from pg_attribute a
                where a.attrelid = c.oid and a.attname = any(%s) and not a.attisdropped
                    and a.atttypid in ('text'::regtype, 'varchar'::regtype)
            )
        from pg_class c
        where c.relnamespace = to_regnamespace('memory') and c.relkind in ('r', 'p')
        order by 1
        """,
        [list(MEMORY_COLUMNS)],
    ).fetchall()
    return dict(rows)
