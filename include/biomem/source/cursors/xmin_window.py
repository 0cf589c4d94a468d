"""The xmin window: nothing is asked of the source, and every poll scans the table.

A row belongs to the next pull when its transaction is not older than `pg_snapshot_xmin`, the oldest transaction that
was still running when the last pull read: whatever commits late is in the window, however early it began. Rows of the
window that were read already come again and are recognised as unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from biomem.source.scanner import query
from biomem.source.watermark import Mark, scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from biomem.source.reading import Reading

HORIZON_SQL = "select pg_snapshot_xmin(pg_current_snapshot())::text as horizon"
# age() compares modulo 2^32: beyond this many transactions an old row may look new, or a new one old
WINDOW_LIMIT = 2**31 - 2**28


class XminWindow:
    """Sees every row that was written; a deletion is found by comparing keys."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def mark(self, con: duckdb.DuckDBPyConnection, before: Mark | None) -> Mark:
        horizon = int(scalar(query(con, HORIZON_SQL)))
        return Mark(horizon, str(horizon), wraparound(horizon, before))

    def changes(self, before: Mark) -> Iterator[str]:
        yield self.reading.rows(window(before.horizon))

    def suspects(self) -> Iterator[str]:
        yield from ()

    def release(self, mark: Mark) -> None:
        """Nothing is kept for us in the source."""


def window(horizon: int) -> str:
    """The WHERE condition of the rows whose transaction is not older than `horizon`."""
    # a literal, because a subquery would be evaluated per row
    return f"age(xmin) <= age(('{horizon:d}'::xid8)::xid)"


def wraparound(horizon: int, before: Mark | None) -> str | None:
    if before is None or horizon - before.horizon < WINDOW_LIMIT:
        return None
    passed = horizon - before.horizon
    return f"{passed:,} transactions passed since the last pull, close to where their numbers wrap around"
