"""What the source's catalog says of a table, and every reason not to pull it, before a single row is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from biomem.errors import SourceError
from biomem.source.dsn import connect, place, without_secrets
from biomem.source.expressions import describe_expressions

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

OLDEST_SERVER = 130000  # xid8 and pg_current_snapshot
READABLE_KINDS = ("r", "p", "m")  # table, partitioned table, materialised view: their rows have an xmin
SHOWN_TABLES = 5


@dataclass(frozen=True)
class TableShape:
    """A table as the catalog describes it.

    `identity` changes when the table is another one than before although it has the same name (server, database or
    table made anew). `unique_columns` are those with a unique index on them alone. `expressions` holds the types of
    the mapping's expressions by our names.
    """

    schema: str
    table: str
    identity: str
    columns: Mapping[str, str]  # name to type, as format_type writes it
    unique_columns: frozenset[str]
    expressions: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.table}"


def describe_table(dsn: str, schema: str, table: str, expressions: Mapping[str, str] | None = None) -> TableShape:
    """The shape of a table, and the types of `expressions` (by our names) over it, which are not executed.

    Raises SourceError when the table is out of reach, missing, no table, or not ours to read, and for an expression
    that PostgreSQL does not take.
    """
    import psycopg

    try:
        with connect(dsn, autocommit=True) as con:
            shape = _inspect(con, schema, table)
            types = describe_expressions(con, schema, table, expressions or {})
            return replace(shape, expressions=types)
    except psycopg.Error as error:
        reason = without_secrets(str(error), dsn)
        raise SourceError(f"{schema}.{table} cannot be looked up in PostgreSQL ({place(dsn)}): {reason}") from None


def _inspect(con: psycopg.Connection[tuple[Any, ...]], schema: str, table: str) -> TableShape:
    if con.info.server_version < OLDEST_SERVER:
        raise SourceError(f"the source is PostgreSQL {con.info.server_version // 10000}; it must be 13 or newer")
    label = f"{schema}.{table}"
    row = con.execute(
        """
        select c.oid, c.relkind::text, has_schema_privilege(n.oid, 'usage'),
            has_table_privilege(c.oid, 'select'), current_user::text,
            c.relkind = 'r' and not c.relhassubclass
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'p', 'm', 'v', 'f')
        """,
        [schema, table],
    ).fetchone()
    if row is None:
        raise SourceError(_missing(con, schema, table))
    oid, kind, may_use, may_select, user, is_single = row
    if kind == "v":
        raise SourceError(_is_view(con, oid, label))
    if kind not in READABLE_KINDS:
        raise SourceError(f"{label} is a foreign table, whose rows carry no transaction; pull it where it really lies")
    if not may_use:
        raise SourceError(f'user {user!r} may not use schema {schema!r}: grant usage on schema "{schema}" to "{user}"')
    if not may_select:
        raise SourceError(f'user {user!r} may not read {label}: grant select on "{schema}"."{table}" to "{user}"')
    # a unique index does not span the children of a table
    unique = _unique_columns(con, oid) if is_single or kind == "m" else frozenset()
    return TableShape(schema, table, f"{_system_identifier(con)}/{oid}", _columns(con, oid), unique)


def _columns(con: psycopg.Connection[tuple[Any, ...]], oid: int) -> dict[str, str]:
    rows = con.execute(
        # a domain counts as the type below it, and so does a domain over a domain
        """
        with recursive types as (
            select attname, attnum, atttypid as oid
            from pg_attribute where attrelid = %s and attnum > 0 and not attisdropped
            union all
            select types.attname, types.attnum, t.typbasetype
            from types join pg_type t on t.oid = types.oid where t.typtype = 'd'
        )
        select types.attname::text, format_type(t.oid, null)
        from types join pg_type t on t.oid = types.oid
        where t.typtype <> 'd'
        order by types.attnum
        """,
        [oid],
    ).fetchall()
    return dict(rows)


def _unique_columns(con: psycopg.Connection[tuple[Any, ...]], oid: int) -> frozenset[str]:
    rows = con.execute(
        """
        select a.attname::text from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = %s and i.indisunique and i.indisvalid and i.indnkeyatts = 1 and i.indpred is null
        """,
        [oid],
    ).fetchall()
    return frozenset(name for (name,) in rows)


def _system_identifier(con: psycopg.Connection[tuple[Any, ...]]) -> str:
    """Server and database. Where a provider keeps pg_control_system to itself, the database's oid must do."""
    row = con.execute(
        """
        select d.oid, has_function_privilege('pg_control_system()', 'execute')
        from pg_database d where d.datname = current_database()
        """
    ).fetchone()
    assert row is not None
    if not row[1]:
        return f"unknown/{row[0]}"
    system = con.execute("select system_identifier from pg_control_system()").fetchone()
    assert system is not None
    return f"{system[0]}/{row[0]}"


def _missing(con: psycopg.Connection[tuple[Any, ...]], schema: str, table: str) -> str:
    rows = con.execute(
        """
        select schemaname || '.' || tablename from pg_tables
        where schemaname not in ('pg_catalog', 'information_schema') and has_schema_privilege(schemaname, 'usage')
        order by tablename <> %s, schemaname <> %s, 1 limit %s
        """,
        [table, schema, SHOWN_TABLES],
    ).fetchall()
    there = f"there are {', '.join(name for (name,) in rows)}" if rows else "there is no table at all"
    return (
        f"there is no table {schema}.{table} in database {con.info.dbname!r} ({there}); "
        "set BIOMEM_SOURCE_TABLE, or `table:` in source.yml"
    )


def _is_view(con: psycopg.Connection[tuple[Any, ...]], oid: int, label: str) -> str:
    rows = con.execute(
        """
        select distinct n.nspname || '.' || c.relname
        from pg_rewrite r
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
        join pg_class c on c.oid = d.refobjid
        join pg_namespace n on n.oid = c.relnamespace
        where r.ev_class = %s
        order by 1
        """,
        [oid],
    ).fetchall()
    base = ", ".join(name for (name,) in rows) or "the table below it"
    return (
        f"{label} is a view: its rows carry no transaction, so changes would be missed. Pull its base table instead: "
        f"{base} (BIOMEM_SOURCE_TABLE, or `table:` in source.yml)"
    )
