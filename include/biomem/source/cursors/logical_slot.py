"""A logical replication slot: the server itself tells which rows changed, deletions included, without a scan.

A pull peeks at the slot, which changes nothing in it, and folds the messages to the ids of the rows that were touched.
Those rows are then read from the table like any others, so that the mapping is evaluated by PostgreSQL as with the
other cursors: out-of-line values that did not change (TOAST), new columns and changed types need nothing special. What
is no more there was deleted. Once the warehouse has committed, the slot is advanced; a pull that dies in between
repeats what it did, which changes nothing.

Only transactions that the pull's own snapshot sees are taken. One whose commit is in the log but not yet visible ends
the pull there, and is taken by the next.
"""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING

from biomem.errors import SourceError
from biomem.source.cursors import slots
from biomem.source.cursors.pgoutput import Commit, Relation, RowChange, Truncation, decode
from biomem.source.dsn import connect, without_secrets
from biomem.source.scanner import query
from biomem.source.watermark import Mark
from biomem.warehouse.connection import quote_identifier, quote_literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

    from biomem.source.reading import Reading

# ids in one SELECT, and the most that are fetched one by one: beyond, reading the whole table is the better way
IDS_AT_ONCE = 5_000
MOST_IDS = 100_000
MESSAGES_AT_ONCE = 5_000

log = logging.getLogger(__name__)


class LogicalSlot:
    """Sees every row that was written or deleted."""

    def __init__(self, reading: Reading, dsn: str) -> None:
        self.reading, self.dsn = reading, dsn
        self.slot = slots.slot_name(reading.source)
        self.key = slots.key_column(reading)
        self.array = f"{reading.shape.columns[self.key]}[]"
        self.touched: set[str] = set()
        # before the pull takes its snapshot: a slot made later would miss what was committed in between
        self.renewed = slots.renew_if_lost(reading, dsn)

    def mark(self, con: duckdb.DuckDBPyConnection, before: Mark | None) -> Mark:
        row = query(
            con,
            "select pg_current_snapshot()::text, pg_current_wal_flush_lsn()::text, confirmed_flush_lsn::text "
            f"from pg_replication_slots where slot_name = {quote_literal(self.slot)}",
        ).fetchone()
        if row is None:
            raise SourceError(f"replication slot {self.slot!r} was dropped while the pull began; run it again")
        snapshot, flushed, confirmed = Snapshot(row[0]), row[1], row[2]
        reason = self.renewed or _taken_elsewhere(confirmed, before, self.slot)
        if before is None or reason:
            return Mark(snapshot.xmin, confirmed, reason)
        reached, reason = self._peek(con, snapshot)
        position = flushed if reached is None else _lsn(max(reached, _number(before.position)))
        return Mark(snapshot.xmin, position, reason)

    def changes(self, before: Mark) -> Iterator[str]:
        for ids in _portions(self.touched):
            yield self.reading.rows(f"{quote_identifier(self.key)} = any({_array(ids)}::{self.array})")

    def suspects(self) -> Iterator[str]:
        for ids in _portions(self.touched):
            # cast to text by PostgreSQL, as the ids of the rows are
            yield f"select distinct id::text as memory_id from unnest({_array(ids)}::{self.array}) as ids (id)"

    def release(self, mark: Mark) -> None:
        import psycopg

        try:
            with connect(self.dsn, autocommit=True) as pg:
                pg.execute(
                    "select pg_replication_slot_advance(slot_name, %(lsn)s::pg_lsn) from pg_replication_slots "
                    "where slot_name = %(slot)s and confirmed_flush_lsn < %(lsn)s::pg_lsn",
                    {"slot": self.slot, "lsn": mark.position},
                )
        except (psycopg.Error, SourceError) as error:
            # the rows are in the warehouse; the server keeps its log for one pull more
            log.warning("slot %s could not be advanced: %s", self.slot, without_secrets(str(error), self.dsn))

    def _peek(self, con: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> tuple[int | None, str | None]:
        """Gather the touched ids.

        Returns the position after the last transaction that the snapshot sees, or None when it sees all there are; and
        why the table must be read whole after all, or None.
        """
        relations: dict[int, Relation] = {}
        reached, reason = 0, None
        for xid, data in self._messages(con):
            if not snapshot.sees(int(xid)):
                return reached, reason
            message = decode(data, self.key, relations)
            if isinstance(message, Relation):
                relations[message.oid] = message
            elif isinstance(message, Truncation):
                reason = "the table was truncated"
            elif isinstance(message, Commit):
                reached = message.end
            elif isinstance(message, RowChange):
                reason = reason or self._note(message)
        return None, reason

    def _note(self, change: RowChange) -> str | None:
        if not change.is_told:
            return "the column of the ids has another name than when rows were changed"
        self.touched |= change.keys
        if len(self.touched) <= MOST_IDS:
            return None
        self.touched.clear()
        return f"more than {MOST_IDS:,} rows changed since the last pull"

    def _messages(self, con: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, bytes]]:
        slot = quote_literal(self.slot)
        messages = query(
            con,
            f"select xid::text, data from pg_logical_slot_peek_binary_changes({slot}, null, null, "
            f"'proto_version', '1', 'publication_names', {quote_literal(quote_identifier(self.slot))})",
        )
        while portion := messages.fetchmany(MESSAGES_AT_ONCE):
            yield from portion


class Snapshot:
    """A pg_snapshot: which transactions count as committed."""

    def __init__(self, text: str) -> None:
        xmin, xmax, running = text.split(":")
        self.xmin, self.xmax = int(xmin), int(xmax)
        self.running = {int(xid) for xid in running.split(",") if xid}

    def sees(self, xid: int) -> bool:
        """Whether transaction `xid`, which has committed, is visible. Takes the 32 bits that the log has of it."""
        full = (self.xmax >> 32 << 32) | xid
        if full > self.xmax + 2**31:
            full -= 2**32
        elif full < self.xmax - 2**31:
            full += 2**32
        return full < self.xmax and full not in self.running


def _taken_elsewhere(confirmed: str, before: Mark | None, slot: str) -> str | None:
    if before is None or _number(confirmed) <= _number(before.position):
        return None
    return f"slot {slot} has moved on to {confirmed} without us, who had come to {before.position}"


def _portions(ids: Iterable[str]) -> Iterator[list[str]]:
    left = iter(sorted(ids))
    while portion := list(islice(left, IDS_AT_ONCE)):
        yield portion


def _array(values: Iterable[str]) -> str:
    """The values as the literal of a PostgreSQL array."""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return quote_literal("{" + ",".join(f'"{value}"' for value in escaped) + "}")


def _number(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def _lsn(number: int) -> str:
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"
