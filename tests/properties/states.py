"""What a world has come to, in a form that can be compared: current rows of models, without the runs' bookkeeping."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from math import isclose
from typing import TYPE_CHECKING, Any

from biomem.warehouse.compare import BOOKKEEPING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

Row = dict[str, Any]


def state(con: duckdb.DuckDBPyConnection, models: Iterable[str], without: Iterable[str] = ()) -> dict[str, list[Row]]:
    """Rows by model, but for the columns in `without`."""
    return {model: rows_of(con, model, without) for model in sorted(models)}


def rows_of(con: duckdb.DuckDBPyConnection, model: str, without: Iterable[str] = ()) -> list[Row]:
    left_out = {*BOOKKEEPING, *without}
    columns = [name for (name,) in con.execute(f"select column_name from (describe main.{model})").fetchall()]
    names = [name for name in columns if name not in left_out]
    only = " where is_current" if "is_current" in columns else ""
    current = [
        dict(zip(names, row, strict=True))
        for row in con.execute(f"select {', '.join(names)} from main.{model}{only}").fetchall()
    ]
    return sorted(current, key=lambda row: repr([value for value in row.values() if not isinstance(value, float)]))


def back(value: Any, by: timedelta) -> Any:
    """A value with every instant and date in it `by` earlier."""
    if isinstance(value, (datetime, date)):
        return value - by
    if isinstance(value, dict):
        return {name: back(part, by) for name, part in value.items()}
    if isinstance(value, list):
        return [back(part, by) for part in value]
    return value


def difference(one: dict[str, list[Row]], other: dict[str, list[Row]], tolerance: float = 1e-12) -> str | None:
    """The first difference in words, or None; numbers may differ by `tolerance`, relatively."""
    for model, rows in one.items():
        if len(rows) != len(other[model]):
            return f"{model}: {len(rows)} rows against {len(other[model])}: {rows} against {other[model]}"
        for left, right in zip(rows, other[model], strict=True):
            if not _same(left, right, tolerance):
                return f"{model}: {left} against {right}"
    return None


def _same(left: Any, right: Any, tolerance: float) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return isclose(left, right, rel_tol=tolerance, abs_tol=1e-15)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[name], right[name], tolerance) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(_same(a, b, tolerance) for a, b in zip(left, right, strict=True))
    return bool(left == right)
