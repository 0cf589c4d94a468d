"""Whether two warehouses hold the same rows, whatever order they lie in.

Columns that tell which run wrote a row, and rows that no longer hold, are no part of what is compared. Floating point
numbers may differ by one part in a billion.
"""

from __future__ import annotations

from math import isclose
from typing import TYPE_CHECKING, Any, NamedTuple

from biomem.warehouse.connection import quote_identifier

if TYPE_CHECKING:
    import duckdb

BOOKKEEPING = frozenset({"sequence", "changed_from", "run_id", "params_hash", "as_of", "revises"})
RELATIVE_TOLERANCE = 1e-9
SHOWN_ROWS = 3
CANDIDATES = 10_000


class Fingerprint(NamedTuple):
    """How many rows a model has, and the sum of their hashes."""

    rows: int
    hash: int


def fingerprint(con: duckdb.DuckDBPyConnection, database: str, model: str) -> Fingerprint | None:
    """The fingerprint of `model` in an attached database; None where it was never built."""
    columns = _columns(con, database, model)
    if not columns:
        return None
    listed = ", ".join(quote_identifier(name) for name, _ in columns)
    row = con.execute(
        f"select count(*), coalesce(sum(hash({listed})::hugeint), 0) from {_rows_of(con, database, model)}"
    ).fetchone()
    assert row is not None
    return Fingerprint(*row)


def differing_rows(
    con: duckdb.DuckDBPyConnection, model: str, sides: tuple[str, str] = ("incremental", "rebuilt")
) -> list[dict[str, Any]]:
    """The first rows of `model` that databases `lived` and `rebuilt` do not share, each with the side it is on."""
    columns = _columns(con, "lived", model)
    others = _columns(con, "rebuilt", model)
    if columns != others:
        return [{"side": "both", "columns lived": columns, "columns rebuilt": others}]
    listed = ", ".join(quote_identifier(name) for name, _ in columns)
    inexact = [number for number, (_, data_type) in enumerate(columns) if data_type in ("DOUBLE", "FLOAT")]
    left, right = (
        con.execute(
            f"select {listed} from {_rows_of(con, a, model)} except all select {listed} from {_rows_of(con, b, model)} "
            f"limit {CANDIDATES}"
        ).fetchall()
        for a, b in (("lived", "rebuilt"), ("rebuilt", "lived"))
    )
    remaining: dict[str, list[tuple[Any, ...]]] = {}
    for row in right:
        remaining.setdefault(_exact_part(row, inexact), []).append(row)
    only_left = [row for row in left if not _take(remaining.get(_exact_part(row, inexact), []), row, inexact)]
    only_right = [row for rows in remaining.values() for row in rows]
    names = [name for name, _ in columns]
    return [
        {"side": side, **dict(zip(names, row, strict=True))}
        for side, rows in zip(sides, (only_left, only_right), strict=True)
        for row in sorted(rows, key=repr)[:SHOWN_ROWS]
    ]


def freeze_views(con: duckdb.DuckDBPyConnection) -> None:
    """Copy what the views show into tables: a view cannot be read from a database attached under another name."""
    con.execute("create schema frozen")
    views = con.execute("select view_name from duckdb_views() where schema_name = 'main' and not internal").fetchall()
    for (name,) in views:
        con.execute(f"create table frozen.{quote_identifier(name)} as select * from main.{quote_identifier(name)}")


def _columns(con: duckdb.DuckDBPyConnection, database: str, model: str) -> list[tuple[str, str]]:
    found = con.execute(
        "select column_name, data_type from duckdb_columns() "
        "where database_name = ? and schema_name = ? and table_name = ? order by column_name",
        [database, _schema(con, database, model), model],
    ).fetchall()
    return [(name, data_type) for name, data_type in found if name not in BOOKKEEPING]


def _rows_of(con: duckdb.DuckDBPyConnection, database: str, model: str) -> str:
    has_versions = any(name == "is_current" for name, _ in _columns(con, database, model))
    schema = _schema(con, database, model)
    return f"{database}.{schema}.{quote_identifier(model)}" + (" where is_current" if has_versions else "")


def _schema(con: duckdb.DuckDBPyConnection, database: str, model: str) -> str:
    is_frozen = con.execute(
        "select 1 from duckdb_tables() where database_name = ? and schema_name = 'frozen' and table_name = ?",
        [database, model],
    ).fetchone()
    return "frozen" if is_frozen else "main"


def _exact_part(row: tuple[Any, ...], inexact: list[int]) -> str:
    return repr([value for number, value in enumerate(row) if number not in inexact])


def _take(candidates: list[tuple[Any, ...]], row: tuple[Any, ...], inexact: list[int]) -> bool:
    """Take the first candidate that equals `row` within the tolerance out of the list; whether there was one."""
    for number, candidate in enumerate(candidates):
        if all(_is_close(row[i], candidate[i]) for i in inexact):
            del candidates[number]
            return True
    return False


def _is_close(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return isclose(a, b, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-12)
