"""What the source's catalog says of a table, and every reason not to pull it, before a single row is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from biomem.errors import SourceError
from biomem.source.dsn import connect, place, without_secrets
from biomem.source.expressions import describe_expressions
from biomem.warehouse.connection import quote_identifier

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

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
    columns: Mapping[str, str]  # name to type, as `kinds` names it
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
            return inspect_table(con, schema, table, expressions or {})
    except psycopg.Error as error:
        reason = without_secrets(str(error), dsn)
        raise SourceError(f"{schema}.{table} cannot be looked up in PostgreSQL ({place(dsn)}): {reason}") from None


def inspect_table(
    con: psycopg.Connection[tuple[Any, ...]], schema: str, table: str, expressions: Mapping[str, str]
) -> TableShape:
    """`describe_table` over an open connection in autocommit."""
    if con.info.server_version < OLDEST_SERVER:
        raise SourceError(f"the source is PostgreSQL {con.info.server_version // 10000}; it must be 13 or newer")
    label = f"{schema}.{table}"
    row = con.execute(
        """
        select c.oid, c.relkind::text, has_schema_privilege(n.oid, 'usage'),
            has_table_privilege(c.oid, 'select'), current_user::text,
            c.relkind = 'r' and c.relhassubclass, c.relpersistence = 't'
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'p', 'm', 'v', 'f')
        """,
        [schema, table],
    ).fetchone()
    if row is None:
        raise SourceError(_missing(con, schema, table))
    oid, kind, may_use, may_select, user, has_children, is_temporary = row
    if kind == "v":
        raise SourceError(_is_view(con, oid, label))
    if kind not in READABLE_KINDS:
        raise SourceError(f"{label} is a foreign table, whose rows carry no transaction; pull it where it really lies")
    if is_temporary:
        raise SourceError(f"{label} is a temporary table, which only its own session can see; pull a lasting one")
    if not may_use:
        raise SourceError(
            f"user {user!r} may not use schema {schema!r}: grant usage on schema {quote_identifier(schema)} "
            f"to {quote_identifier(user)}"
        )
    if not may_select:
        where = f"{quote_identifier(schema)}.{quote_identifier(table)}"
        raise SourceError(f"user {user!r} may not read {label}: grant select on {where} to {quote_identifier(user)}")
    types = _columns(con, oid)
    wanted = describe_expressions(con, schema, table, expressions)
    known = kinds(con, {*types.values(), *wanted.values()})
    return TableShape(
        schema=schema,
        table=table,
        identity=f"{_system_identifier(con)}/{oid}",
        columns={name: known[type_oid] for name, type_oid in types.items()},
        # a unique index does not span the tables that inherit
        unique_columns=frozenset() if has_children else _unique_columns(con, oid),
        expressions={ours: known[type_oid] for ours, type_oid in wanted.items()},
    )


def kinds(con: psycopg.Connection[tuple[Any, ...]], oids: Collection[int]) -> dict[int, str]:
    """What each type is, as far as reading it goes.

    A domain is the type below it, an array ends in `[]`, an extension's type goes without its schema; enums, composites
    and ranges (also multiranges) are just that. All others are as format_type writes them.
    """
    rows = con.execute(
        """
        with recursive walk as (
            select t.oid as asked, t.oid as oid, '' as suffix from pg_type t where t.oid = any(%s)
            union all
            select
                walk.asked,
                case when t.typtype = 'd' then t.typbasetype else t.typelem end,
                walk.suffix || case when t.typtype = 'd' then '' else '[]' end
            from walk join pg_type t on t.oid = walk.oid
            where t.typtype = 'd' or (t.typcategory = 'A' and t.typelem <> 0)
        )
        select walk.asked, walk.suffix, t.typname::text, t.typtype::text, format_type(t.oid, null), exists (
            select 1 from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e'
        )
        from walk join pg_type t on t.oid = walk.oid
        where t.typtype <> 'd' and not (t.typcategory = 'A' and t.typelem <> 0)
        """,
        [list(oids)],
    ).fetchall()
    named = {"e": "enum", "c": "composite", "p": "composite", "r": "range", "m": "range"}
    return {
        asked: named.get(typtype, name if is_extension else written) + suffix
        for asked, suffix, name, typtype, written, is_extension in rows
    }


def _columns(con: psycopg.Connection[tuple[Any, ...]], oid: int) -> dict[str, int]:
    rows = con.execute(
        "select attname::text, atttypid from pg_attribute "
        "where attrelid = %s and attnum > 0 and not attisdropped order by attnum",
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
    """Server, its timeline (which a restore or a failover changes) and database, as far as the provider tells.

    The database's oid must do for a server that keeps pg_control_system to itself.
    """
    row = con.execute(
        """
        select d.oid, pg_is_in_recovery(), has_function_privilege('pg_control_system()', 'execute')
        from pg_database d where d.datname = current_database()
        """
    ).fetchone()
    assert row is not None
    database, is_standby, may_ask = row
    system = _ask(con, "select system_identifier::text from pg_control_system()") if may_ask else "unknown"
    # the name of the log's file begins with the timeline, at once after a failover; a standby has no such name
    timeline = (
        "select timeline_id::text from pg_control_checkpoint()"
        if is_standby
        else "select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int::text"
    )
    return f"{system}/{_ask(con, timeline)}/{database}"


def _ask(con: psycopg.Connection[tuple[Any, ...]], sql: str) -> str:
    """A fact of the server; `unknown` where a provider has closed the function."""
    import psycopg

    try:
        row = con.execute(sql.encode()).fetchone()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported):
        return "unknown"
    return str(row[0]) if row else "unknown"


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
        # through the views that it reads in turn, down to where rows lie
        """
        with recursive below as (
            select %s::oid as oid, 'v'::"char" as relkind
            union
            select c.oid, c.relkind
            from below
            join pg_rewrite r on r.ev_class = below.oid
            join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
                and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
            join pg_class c on c.oid = d.refobjid
            where below.relkind = 'v'
        )
        select n.nspname || '.' || c.relname
        from below join pg_class c on c.oid = below.oid join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'm', 'f')
        order by 1
        """,
        [oid],
    ).fetchall()
    base = ", ".join(name for (name,) in rows)
    tables = f"Pull its base {'tables' if len(rows) > 1 else 'table'} instead: {base}" if base else "Pull a table"
    return (
        f"{label} is a view: its rows carry no transaction, so changes would be missed. {tables} "
        "(BIOMEM_SOURCE_TABLE, or `table:` in source.yml)"
    )
