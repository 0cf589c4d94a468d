"""How large a table is, which decides whether it is read in one go or in portions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from biomem.source.scanner import query
from biomem.warehouse.connection import quote_literal

if TYPE_CHECKING:
    import duckdb

    from biomem.source.reading import Reading

# up to here a table is read in one go, beyond in portions
BIG_BYTES = 64 * 1024**2
# DuckDB rewrites neighbouring row groups (122,880 rows) when four of them fit into three: portions of fewer than five
# would be written twice. 256 MB are some 600,000 rows of 330 characters
PORTION_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Extent:
    """How large a table is with its partitions: `pages` of the longest, and what changes when it is rewritten."""

    table_bytes: int
    pages: int
    storage: str

    @property
    def pages_at_once(self) -> int:
        return max(1, self.pages * PORTION_BYTES // max(self.table_bytes, 1))

    @property
    def is_big(self) -> bool:
        return self.table_bytes > BIG_BYTES


def measure(con: duckdb.DuckDBPyConnection, reading: Reading) -> Extent:
    """The size of the table in the attached source."""
    row = query(
        con,
        f"""
        with recursive tree as (
            select {quote_literal(reading.table)}::regclass::oid as oid
            union select inhrelid from tree join pg_inherits on inhparent = tree.oid
        )
        select coalesce(sum(pg_table_size(oid)), 0)::bigint as table_bytes,
            coalesce(max(pg_relation_size(oid) / current_setting('block_size')::bigint), 0)::bigint as pages,
            coalesce(string_agg(oid || ':' || pg_relation_filenode(oid), ',' order by oid), '') as storage
        from tree
        """,
    ).fetchone()
    assert row is not None
    return Extent(*row)
