"""What the catalog and the statistics say of a table beside its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    from biomem.source.table import TableShape


@dataclass(frozen=True)
class Relation:
    """`kind` is pg_class.relkind (r table, p partitioned, m materialized view).

    `rows` is the statistics' estimate over all partitions and children, `size` theirs on disk with indexes, in words.
    `has_policies`: row-level security decides what this user sees of it.
    """

    kind: str
    is_unlogged: bool
    has_children: bool
    has_policies: bool
    rows: int
    size: str


def look_up(con: psycopg.Connection[tuple[Any, ...]], shape: TableShape) -> Relation:
    """The facts of a table that `inspect_table` has found."""
    row = con.execute(
        """
        with recursive parts as (
            select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = %(schema)s and c.relname = %(table)s
            union
            select i.inhrelid from parts join pg_inherits i on i.inhparent = parts.oid
        ),
        extent as (
            select
                sum(greatest(c.reltuples, s.n_live_tup, 0)) filter (where c.relkind <> 'p') as rows,
                sum(pg_total_relation_size(c.oid)) as bytes
            from parts join pg_class c on c.oid = parts.oid left join pg_stat_all_tables s on s.relid = c.oid
        )
        select
            c.relkind::text, c.relpersistence = 'u', c.relkind = 'r' and c.relhassubclass, row_security_active(c.oid),
            coalesce(extent.rows, 0)::bigint, pg_size_pretty(coalesce(extent.bytes, 0))
        from extent, pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = %(schema)s and c.relname = %(table)s
        """,
        {"schema": shape.schema, "table": shape.table},
    ).fetchone()
    assert row is not None
    return Relation(*row)
