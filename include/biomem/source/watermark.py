"""How far a table was pulled, and so which of its rows to read next: the xmin window.

A row belongs to the next pull when its transaction is not older than `pg_snapshot_xmin`, the oldest transaction that
was still running when the last pull read: whatever commits late is in the window, however early it began. Rows of the
window that were read already come again and are recognised as unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

HORIZON_SQL = "select pg_snapshot_xmin(pg_current_snapshot())::text as horizon"
# age() compares modulo 2^32: beyond this many transactions an old row may look new, or a new one old
WINDOW_LIMIT = 2**31 - 2**28


@dataclass(frozen=True)
class Watermark:
    """The mark of one source: all transactions before `horizon` (an xid8) of the table `identity` are in."""

    source_name: str
    horizon: int
    identity: str
    batch_id: int
    polls: int

    def condition(self) -> str:
        """The WHERE condition of the window."""
        # a literal, because a subquery would be evaluated per row
        return f"age(xmin) <= age(('{self.horizon:d}'::xid8)::xid)"

    def still_holds(self, identity: str, horizon: int) -> bool:
        """Whether the table is still the one that was pulled, and the window lies within reach of age().

        A horizon that went back is a server restored from a backup.
        """
        return self.identity == identity and 0 <= horizon - self.horizon < WINDOW_LIMIT


@dataclass(frozen=True)
class Changes:
    """How many rows a pull changed in the warehouse."""

    inserted: int
    updated: int
    deleted: int

    @property
    def total(self) -> int:
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True)
class PullResult:
    """What one pull of one table did.

    `rows_read` counts the rows of the window; `rows_skipped` those without an id or a time that can be held, by
    reason, `skipped_examples` names some. `is_full`: every row was read; `is_reconciled`: all keys were compared.
    `batch_id` is None when nothing changed.
    """

    source: str
    rows_read: int
    rows_inserted: int
    rows_updated: int
    rows_deleted: int
    rows_skipped: dict[str, int]
    skipped_examples: list[str]
    watermark_before: str | None
    watermark_after: str
    is_full: bool
    is_reconciled: bool
    batch_id: int | None
    seconds: float

    @property
    def rows_changed(self) -> int:
        return self.rows_inserted + self.rows_updated + self.rows_deleted

    def describe(self) -> str:
        """One line for a log or a terminal."""
        line = (
            f"{self.source}: {self.rows_inserted} inserted, {self.rows_updated} updated, {self.rows_deleted} deleted; "
            f"watermark {self.watermark_before or 'none'} -> {self.watermark_after}; {self.seconds:.2f} s"
        )
        if self.rows_skipped:
            reasons = ", ".join(f"{count} with {problem}" for problem, count in sorted(self.rows_skipped.items()))
            line += f"; NOT TAKEN: {reasons} (e.g. {', '.join(self.skipped_examples)})"
        return line


def scalar(rows: duckdb.DuckDBPyConnection) -> Any:
    """The first column of the first row."""
    row = rows.fetchone()
    assert row is not None
    return row[0]


def read_watermark(con: duckdb.DuckDBPyConnection, source_name: str) -> Watermark | None:
    row = con.execute(
        "select horizon, system_identifier, batch_id, polls from raw.watermarks where source_name = ?", [source_name]
    ).fetchone()
    return Watermark(source_name, int(row[0]), row[1], row[2], row[3]) if row else None


def next_batch(con: duckdb.DuckDBPyConnection) -> int:
    return int(scalar(con.execute("select coalesce(max(batch_id), 0) + 1 from raw.pulls")))


def save_watermark(con: duckdb.DuckDBPyConnection, mark: Watermark) -> None:
    con.execute(
        """
        insert into raw.watermarks (source_name, horizon, system_identifier, batch_id, polls) values (?, ?, ?, ?, ?)
        on conflict (source_name) do update set
            horizon = excluded.horizon,
            system_identifier = excluded.system_identifier,
            batch_id = excluded.batch_id,
            polls = excluded.polls
        """,
        [mark.source_name, str(mark.horizon), mark.identity, mark.batch_id, mark.polls],
    )


def record_pull(
    con: duckdb.DuckDBPyConnection,
    *,
    run_id: str | None,
    as_of: datetime | None,
    before: Watermark | None,
    after: Watermark,
    changes: Changes,
    seconds: float,
) -> None:
    con.execute(
        "insert into raw.pulls (batch_id, source_name, run_id, pulled_as_of, horizon_before, horizon_after, "
        "rows_inserted, rows_updated, rows_deleted, seconds) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            after.batch_id,
            after.source_name,
            run_id,
            as_of,
            str(before.horizon) if before else None,
            str(after.horizon),
            changes.inserted,
            changes.updated,
            changes.deleted,
            seconds,
        ],
    )
