"""Which column a read of a source failed on: PostgreSQL's error quotes the value, and not where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from biomem.source.columns import CASTS, find_columns, read_column
from biomem.source.dsn import connect
from biomem.source.table import describe_table
from biomem.warehouse.connection import qualified_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biomem.source.casts import Value
    from biomem.source.mapping import SourceTable

# a pull that has failed does not keep the source busy for longer to say why
SEARCH_S = 5


def unreadable_column(
    con: psycopg.Connection[tuple[Any, ...]], rows: str, source: SourceTable, values: Mapping[str, Value]
) -> tuple[str, str] | None:
    """Our name of the first column of `rows` (a FROM item) that cannot be read, and how to say so; None if all can."""
    for ours, value in values.items():
        try:
            con.execute(f"select count({CASTS[source.kind][ours](value)}) from {rows}".encode())
        except psycopg.DataError as error:
            return ours, f"{value.label} cannot be read as {ours}, so nothing is pulled: {' '.join(str(error).split())}"
    return None


def blame(source: SourceTable, dsn: str) -> str | None:
    """The same for a whole table, as a sentence with its remedy; None where that takes too long to find out.

    Raises SourceError when the server cannot be reached.
    """
    shape = describe_table(dsn, source.schema, source.table, source.expressions)
    values = {ours: read_column(column, ours, shape) for ours, column in find_columns(source, shape).items()}
    with connect(dsn, autocommit=True) as con:
        con.execute("select set_config('statement_timeout', %s, false)", [f"{SEARCH_S}s"])
        try:
            found = unreadable_column(con, qualified_name(shape.schema, shape.table), source, values)
        except psycopg.errors.QueryCanceled:
            return None
    if found is None:
        return None
    ours, what = found
    return f'{what}; correct the value, or say how it reads: {ours}: {{expression: "..."}}'
