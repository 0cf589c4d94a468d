"""The rows of a source, read as a pull would: what of them would not arrive, by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from biomem.source.blame import unreadable_column
from biomem.source.casts import NUMBERS, Value, is_holdable
from biomem.source.columns import CASTS
from biomem.source.doctor.findings import FIX, OK, WARN, Finding
from biomem.source.mapping import REQUIRED
from biomem.warehouse.connection import qualified_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from biomem.source.mapping import SourceTable
    from biomem.source.table import TableShape

# more rows than these are judged by a sample of about as many
EXAMINED_ROWS = 2_000_000
# what becomes of a value that our column cannot hold
LOST = {
    "importance": "no number (NaN, infinite or beyond a double): taken as none",
    "arousal": "no number (NaN, infinite or beyond a double): taken as none",
    "updated_at": "outside the years 1 to 9999: taken as none",
    "tags": "neither a list nor a text: taken as none",
    "embedding": "no vector (a hole, an infinity, two dimensions, empty): taken as none",
}
DIMENSIONS = "different lengths of vectors: only vectors of one model can be compared"


def examine_rows(
    con: psycopg.Connection[tuple[Any, ...]],
    source: SourceTable,
    shape: TableShape,
    values: Mapping[str, Value],
    select_list: str,
    estimated_rows: int,
) -> Iterator[Finding]:
    """Read the rows as a pull would, and say what would not arrive."""
    share = EXAMINED_ROWS / estimated_rows if estimated_rows > EXAMINED_ROWS else 1
    rows = qualified_name(shape.schema, shape.table) + (f" tablesample system ({share * 100:.4f})" if share < 1 else "")
    of = "of a sample of" if share < 1 else "of"
    try:
        yield from _unusable(con, rows, select_list, of, values, source)
        yield from _lost(con, rows, source, values)
    except psycopg.DataError as error:
        yield _blame(con, rows, source, values, str(error))


def _unusable(
    con: psycopg.Connection[tuple[Any, ...]],
    rows: str,
    select_list: str,
    of: str,
    values: Mapping[str, Value],
    source: SourceTable,
) -> Iterator[Finding]:
    identity, instant = REQUIRED[source.kind][0], REQUIRED[source.kind][2]
    # counted, so that each is read
    counts = ", ".join(f"count({ours})" for ours in CASTS[source.kind])
    found = con.execute(
        f"select problem, count(*), min({identity}), {counts} from (select {select_list} from {rows}) as pulled "
        "group by 1 order by 1 nulls first".encode()
    ).fetchall()
    total = sum(row[1] for row in found)
    for problem, count, example, *_ in found:
        if problem is None:
            yield Finding("rows", OK, f"{count:,} {of} {total:,} can be taken")
            continue
        where = "" if example is None else f" (e.g. {example!r})"
        is_outside = problem.startswith("a time outside") and values[instant].kind in NUMBERS
        fix = f"correct them, or map another column to {instant}"
        if is_outside:
            fix = f'milliseconds? {instant}: {{expression: "to_timestamp({values[instant].sql} / 1000.0)"}}'
        yield Finding("rows", WARN, f"{count:,} {of} {total:,} are not taken: {problem}{where}", fix)
    if not found:
        yield Finding("rows", OK, "the table is empty")


def _lost(
    con: psycopg.Connection[tuple[Any, ...]], rows: str, source: SourceTable, values: Mapping[str, Value]
) -> Iterator[Finding]:
    """Values that our columns cannot hold as they are."""
    counts = {
        (ours, what): sql
        for ours, value in values.items()
        for what, sql in _counters(ours, value, CASTS[source.kind][ours](value))
    }
    if not counts:
        return
    row = con.execute(f"select {', '.join(counts.values())} from {rows}".encode()).fetchone()
    assert row is not None
    for (ours, what), count in zip(counts, row, strict=True):
        if count > (1 if what == DIMENSIONS else 0):
            yield Finding(
                "types",
                WARN,
                f"{values[ours].label}, {count:,} {what}",
                f'correct them, or say what is meant: {ours}: {{expression: "..."}}, or null',
            )


def _counters(ours: str, value: Value, cast: str) -> Iterator[tuple[str, str]]:
    if ours in LOST:
        lost = cast if ours != "updated_at" else f"case when {is_holdable(cast)} then {cast} end"
        yield f"values are {LOST[ours]}", f"count(*) filter (where {value.sql} is not null and ({lost}) is null)"
    if value.kind == "numeric" and ours in ("importance", "arousal"):
        yield (
            "values have more digits than a double precision keeps: rounded",
            f"count(*) filter (where ({cast})::numeric <> round({value.sql}, 300))",
        )
    if ours == "tags" and value.kind.endswith("[]"):
        yield (
            "arrays have several dimensions: read as one list",
            f"count(*) filter (where array_ndims({value.sql}) > 1)",
        )
    if ours == "embedding":
        yield DIMENSIONS, f"count(distinct array_length(({cast}), 1))"


def _blame(
    con: psycopg.Connection[tuple[Any, ...]], rows: str, source: SourceTable, values: Mapping[str, Value], reason: str
) -> Finding:
    """Which column a failing read is due to."""
    if found := unreadable_column(con, rows, source, values):
        ours, what = found
        return Finding("rows", FIX, what, f'correct the value, or say how it reads: {ours}: {{expression: "..."}}')
    return Finding("rows", FIX, f"cannot be read, so nothing is pulled: {' '.join(reason.split())}")
