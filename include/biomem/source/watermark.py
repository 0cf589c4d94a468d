"""How far a table was pulled, what a pull did, and where both are written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

# the parts of an identity (`Reading.identity`), and what it means when one differs
IDENTITY = (
    "this is another server than before",
    "the server has begun a new timeline: it was restored, or a standby has taken over",
    "this is another database than before",
    "the table was made anew",
    "the mapping or the cursor was changed",
)


@dataclass(frozen=True)
class Mark:
    """Where the source stood when a pull read it.

    `horizon`: pg_snapshot_xmin, the oldest transaction (xid8) that was still running. `position`: what the cursor
    itself needs to go on from there. `must_read_whole`: why the changes since the last mark cannot be told, or None.
    """

    horizon: int
    position: str
    must_read_whole: str | None = None


@dataclass(frozen=True)
class Watermark:
    """How far one source was pulled: the warehouse has what the table `identity` held at `mark`."""

    source_name: str
    mark: Mark
    identity: str
    batch_id: int
    polls: int

    @property
    def horizon(self) -> int:
        return self.mark.horizon


def why_whole(before: Watermark | None, identity: str, mark: Mark) -> str | None:
    """Why the table must be read whole, or None when the changes since `before` will do."""
    if before is None:
        return "it was never pulled"
    if before.identity != identity:
        then, now = before.identity.split("/"), identity.split("/")
        if len(then) != len(now):
            return "the last pull was made by an older biomem"
        return next(reason for reason, a, b in zip(IDENTITY, then, now, strict=True) if a != b)
    if mark.horizon < before.horizon:
        return f"transaction {before.horizon:,} lies in this server's future: it was restored from a backup"
    return mark.must_read_whole


@dataclass(frozen=True)
class Changes:
    """How many rows a pull changed in the warehouse."""

    inserted: int
    updated: int
    deleted: int

    @property
    def total(self) -> int:
        return self.inserted + self.updated + self.deleted

    def plus(self, other: Changes) -> Changes:
        return Changes(self.inserted + other.inserted, self.updated + other.updated, self.deleted + other.deleted)


@dataclass(frozen=True)
class PullResult:
    """What one pull of one table did.

    `rows_read` counts the rows of the window; `rows_skipped` those without an id or a time that can be held, by
    reason, `skipped_examples` names some. `is_full`: every row was read, and `full_because` says why;
    `is_reconciled`: all keys were compared. `batch_id` is None when nothing changed.
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
    full_because: str | None = None

    @property
    def rows_changed(self) -> int:
        return self.rows_inserted + self.rows_updated + self.rows_deleted

    def describe(self) -> str:
        """One line for a log or a terminal."""
        line = (
            f"{self.source}: {self.rows_inserted} inserted, {self.rows_updated} updated, {self.rows_deleted} deleted; "
            f"watermark {self.watermark_before or 'none'} -> {self.watermark_after}; {self.seconds:.2f} s"
        )
        if self.full_because:
            line += f"; read whole: {self.full_because}"
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
        "select horizon, coalesce(position, horizon), system_identifier, batch_id, polls from raw.watermarks "
        "where source_name = ?",
        [source_name],
    ).fetchone()
    return Watermark(source_name, Mark(int(row[0]), row[1]), row[2], row[3], row[4]) if row else None


def count_poll(con: duckdb.DuckDBPyConnection, mark: Watermark) -> None:
    """The watermark stands where it stood, one poll later."""
    con.execute("update raw.watermarks set polls = ? where source_name = ?", [mark.polls, mark.source_name])


def next_batch(con: duckdb.DuckDBPyConnection) -> int:
    return int(scalar(con.execute("select coalesce(max(batch_id), 0) + 1 from raw.pulls")))


def save_watermark(con: duckdb.DuckDBPyConnection, mark: Watermark) -> None:
    con.execute(
        """
        insert into raw.watermarks (source_name, horizon, position, system_identifier, batch_id, polls)
        values (?, ?, ?, ?, ?, ?)
        on conflict (source_name) do update set
            horizon = excluded.horizon,
            position = excluded.position,
            system_identifier = excluded.system_identifier,
            batch_id = excluded.batch_id,
            polls = excluded.polls
        """,
        [mark.source_name, str(mark.horizon), mark.mark.position, mark.identity, mark.batch_id, mark.polls],
    )


def note_complete(con: duckdb.DuckDBPyConnection, source_name: str, as_of: datetime | None) -> None:
    """Write down that all of the source is in as of `as_of`; a pull without an instant leaves what is written."""
    con.execute(
        "update raw.watermarks set complete_as_of = greatest(complete_as_of, ?) where source_name = ?",
        [as_of, source_name],
    )


def complete_as_of(con: duckdb.DuckDBPyConnection, source_name: str) -> datetime | None:
    """Up to when all of the source is in; None before its first pull."""
    row = con.execute("select complete_as_of from raw.watermarks where source_name = ?", [source_name]).fetchone()
    return row[0] if row else None


def record_pull(
    con: duckdb.DuckDBPyConnection,
    *,
    source_name: str,
    batch_id: int,
    run_id: str | None,
    as_of: datetime | None,
    horizon_before: int | None,
    horizon_after: int,
    changes: Changes,
    seconds: float,
) -> None:
    con.execute(
        "insert into raw.pulls (batch_id, source_name, run_id, pulled_as_of, horizon_before, horizon_after, "
        "rows_inserted, rows_updated, rows_deleted, seconds) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            batch_id,
            source_name,
            run_id,
            as_of,
            str(horizon_before) if horizon_before is not None else None,
            str(horizon_after),
            changes.inserted,
            changes.updated,
            changes.deleted,
            seconds,
        ],
    )
