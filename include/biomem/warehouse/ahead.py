"""What a sleeping stage's publication will send, found before it, in several short holds of the warehouse.

Sleep changes few rows of large tables, but which ones only a comparison of all of them tells. So that windows need not
wait for that, it goes by slices of each table, and the warehouse is let go of after each. What differs is kept by the
caller; a process that dies loses nothing but that. The publication itself then only sends, in one piece as ever, and
compares again itself whatever may be another since (see `still_holds`).

Where more differs than can be sent in a short hold, as the first time, it is sent in parts, each in a transaction and a
hold of its own: readers see such a table fill. When a process dies some are sent, and the next one goes on; one that
dies between the two commits of a part leaves a table that is sent again whole.

Not told from here is what a pull changes meanwhile: a memory that is deleted in between leaves the tables of sleep with
their next publication, as one that is deleted right after it does.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from biomem import watchdog
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import AWAKE, is_whole_run
from biomem.warehouse.lock import POLL_S
from biomem.warehouse.publish import publish_part
from biomem.warehouse.published_tables import STAGE_TABLES, PublishedTable
from biomem.warehouse.send import Difference, compare_slice, mark_in_warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import duckdb

    from biomem.settings import Settings

# At 100,000 memories a slice of the largest table takes two or three seconds, and so does sending so many rows
# (decision 0018); rows of memories, with their texts and indexes, take WIDER times as long. A slice in which more rows
# differ than fit into memory is left to the publication, and so are lives whose tables are sent fast anyway.
MEMORIES_AT_ONCE = 100_000
ROWS_AT_ONCE = 50_000
ROWS_IN_MEMORY = 1_000_000
WIDER = 4
FEW = 10_000


class Moment(NamedTuple):
    """What must not have changed in the warehouse if a comparison is to hold.

    The runs of sleep, how many memories were removed for good, and the table's mark.
    """

    runs: tuple[tuple[str, int], ...]
    removals: int
    mark: str | None


@dataclass(frozen=True)
class Compared:
    """What is to be sent of one table, and as of which moment."""

    moment: Moment
    difference: Difference

    def still_holds(self, con: duckdb.DuckDBPyConnection, table: PublishedTable) -> bool:
        """Whether the table was not published, nor forgotten from, nor a run of sleep begun since."""
        return _moment(con, table) == self.moment


def pause() -> None:
    """For longer than whoever waits for the warehouse takes to look again."""
    time.sleep(2 * POLL_S)


def compare_ahead(
    settings: Settings,
    stage: str,
    *,
    dsn: str,
    run_id: str,
    memories_at_once: int = MEMORIES_AT_ONCE,
    rows_at_once: int = ROWS_AT_ONCE,
    purpose: str = "biomem",
    let_others_in: Callable[[], None] = pause,
) -> Mapping[str, Compared]:
    """What the publication of run `run_id` of `stage` will have to send, by table; without what it must compare itself.

    That are all tables of a short life, of a run that builds anew, and of windows; what windows publish too; and what
    differs in too many rows of a slice. Of more than `rows_at_once` rows that differ, the others are sent to `dsn`
    already. After each slice and each part it calls `let_others_in`, without the warehouse.
    Raises WarehouseError when another process keeps the warehouse, PublishError when a part cannot be sent, SourceError
    when the target cannot be reached.
    """
    if stage == AWAKE:
        return {}
    with open_warehouse(settings, purpose=purpose) as con:
        (memories,) = con.execute("select count(*) from raw.memories").fetchall()[0]
        slices = -(-memories // memories_at_once)
        if (slices < 2 and memories < FEW) or is_whole_run(con, stage):
            return {}
        watchdog.relax()
    ahead = _Ahead(settings, stage, dsn, run_id, slices, rows_at_once, purpose, let_others_in)
    compared: dict[str, Compared] = {}
    for table in STAGE_TABLES[stage]:
        if table in STAGE_TABLES[AWAKE]:
            ahead.leave_few(table)
            continue
        found = ahead.compare(table, room=rows_at_once - sum(each.difference.rows for each in compared.values()))
        if found is not None:
            compared[table.name] = found
    return compared


class _OvertakenError(Exception):
    """Something has come between two holds of the warehouse."""


@dataclass(frozen=True)
class _Ahead:
    settings: Settings
    stage: str
    dsn: str
    run_id: str
    slices: int
    rows_at_once: int
    purpose: str
    let_others_in: Callable[[], None]

    def compare(self, table: PublishedTable, *, room: int) -> Compared | None:
        """Compare a table slice by slice and keep at most `room` rows; None where only a whole publication will do.

        Whoever overtakes it has begun a run, or published rows of the table: neither goes on for ever.
        """
        while True:
            with suppress(_OvertakenError):
                return self._compare(table, room)

    def leave_few(self, table: PublishedTable) -> None:
        """Send rows of a table that windows publish too, each part found and sent in one hold, until few are left."""
        few = self.rows_at_once // self.slices
        for number in range(self.slices):
            is_more = True
            while is_more:
                doing = f"{self.purpose}: comparing {table.name}, {number + 1} of {self.slices}"
                with open_warehouse(self.settings, purpose=doing) as con:
                    found = compare_slice(con, table, number, self.slices, at_most=ROWS_IN_MEMORY)
                    is_more = found is not None and found.rows > few and self._publish(con, table, found)
                self.let_others_in()

    def _publish(self, con: duckdb.DuckDBPyConnection, table: PublishedTable, found: Difference) -> bool:
        part, _ = found.split(max(1, self.rows_at_once // WIDER))
        return publish_part(con, self.stage, table, part, dsn=self.dsn, run_id=self.run_id)

    def _compare(self, table: PublishedTable, room: int) -> Compared | None:
        with open_warehouse(self.settings, purpose=self.purpose) as con:
            moment = _moment(con, table)
        found: Difference | None = None
        for number in range(self.slices):
            differing = self._slice(table, moment, number)
            if differing is None:
                return None
            found = differing if found is None else found.and_also(differing)
            while found.rows > room:
                part, found = found.split(self.rows_at_once)
                sent = self._send(table, moment, part)
                if sent is None:
                    return None
                moment = sent
        return None if found is None else Compared(moment, found)

    def _slice(self, table: PublishedTable, moment: Moment, number: int) -> Difference | None:
        with self._at(moment, table, f"comparing {table.name}, {number + 1} of {self.slices}") as con:
            differing = compare_slice(con, table, number, self.slices, at_most=ROWS_IN_MEMORY)
        self.let_others_in()
        return differing

    def _send(self, table: PublishedTable, moment: Moment, part: Difference) -> Moment | None:
        """Send a part; the moment after it, None when the target is not as it was left."""
        with self._at(moment, table, f"sending {part.rows} rows of {table.name}") as con:
            is_sent = publish_part(con, self.stage, table, part, dsn=self.dsn, run_id=self.run_id)
            after = _moment(con, table)
        self.let_others_in()
        return after if is_sent else None

    @contextmanager
    def _at(self, moment: Moment, table: PublishedTable, doing: str) -> Iterator[duckdb.DuckDBPyConnection]:
        with open_warehouse(self.settings, purpose=f"{self.purpose}: {doing}") as con:
            if _moment(con, table) != moment:
                raise _OvertakenError
            yield con


def _moment(con: duckdb.DuckDBPyConnection, table: PublishedTable) -> Moment:
    runs = con.execute(
        "select stage, sequence from raw.run_context where stage <> ? order by stage", [AWAKE]
    ).fetchall()
    (removals,) = con.execute("select count(*) from raw.receipts").fetchall()[0]
    return Moment(tuple(runs), removals, mark_in_warehouse(con, table))
