"""What the source still has of memories that were removed: told, never deleted, for the source is only read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from biomem.errors import BiomemError
from biomem.source.columns import plan_columns
from biomem.source.dsn import connect
from biomem.source.mapping import MEMORIES, load_sources
from biomem.source.table import describe_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biomem.settings import Settings
    from biomem.source.mapping import SourceTable


@dataclass(frozen=True)
class SourceRows:
    """Rows of one source table that are still there, and the statement that deletes them."""

    table: str
    ids: list[str]
    sql: str


def still_in_source(settings: Settings, ids: Sequence[str], *, source_dsn: str) -> list[SourceRows]:
    """Which of the memories the source tables still hold. A source that cannot be asked is taken to hold them all."""
    if not ids:
        return []
    tables = [source for source in load_sources(settings) if source.kind == MEMORIES]
    return [rows for source in tables if (rows := _rows(source, ids, source_dsn)).ids]


def _rows(source: SourceTable, ids: Sequence[str], dsn: str) -> SourceRows:
    from psycopg import Error, sql

    try:
        plan = plan_columns(source, describe_table(dsn, source.schema, source.table, source.expressions))
        # the id's expression is the mapping's, typed before; the ids are quoted as literals, for people to copy
        wanted = sql.SQL(", ").join(map(sql.Literal, ids))
        where = sql.SQL("from {} where {} in ({})").format(
            sql.Identifier(source.schema, source.table), sql.SQL(plan.key), wanted
        )
        with connect(dsn, autocommit=True) as pg:
            select = sql.SQL("select {} {}").format(sql.SQL(plan.key), where)
            there = sorted(str(memory_id) for (memory_id,) in pg.execute(select))
            return SourceRows(source.label, there, sql.SQL("delete {};").format(where).as_string(pg))
    except (BiomemError, Error) as error:
        return SourceRows(source.label, list(ids), f"-- whether they are there could not be asked: {error}")
