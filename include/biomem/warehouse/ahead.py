"""What a sleeping stage's publication will send, found before it, in several short holds of the warehouse.

Sleep changes few rows of large tables, but which ones only a comparison of all of them tells. So that windows need not
wait for that, it goes by slices of each table, and the warehouse is let go of after each. What differs is kept by the
caller; a process that dies loses nothing but the comparison. The publication itself then only sends, in one piece as
ever, and compares again itself whatever may be another since (see `still_holds`).

Where more differs than can be sent in a short hold, as the first time, it is sent in parts, each in a transaction and a
hold of its own: readers see such a table fill. A process that dies has sent some of them, and the next one goes on.

Not told from here is what a pull changes meanwhile: a memory that is deleted in between leaves the tables of sleep with
their next publication, as one that is deleted right after it does.
"""

from __future__ import annotations

import time
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
    from collections.abc import Callable, Mapping

    import duckdb

    from biomem.settings import Settings

# At 100,000 memories a slice of the largest table takes two or three seconds, and so does sending so many rows
# (decision 0018).
MEMORIES_AT_ONCE = 100_000
ROWS_AT_ONCE = 50_000


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

    These are all tables of a short life, of a run that builds anew, and of windows; and what windows publish too. Of a
    table in which more than `rows_at_once` rows differ, the others are sent to `dsn` already. After each slice and each
    part it calls `let_others_in`, without the warehouse.
    Raises WarehouseError when another process keeps the warehouse, PublishError when a part cannot be sent, SourceError
    when the target cannot be reached.
    """
    if stage == AWAKE:
        return {}
    with open_warehouse(settings, purpose=purpose) as con:
        (memories,) = con.execute("select count(*) from raw.memories").fetchall()[0]
        slices = -(-memories // memories_at_once)
        if slices < 2 or is_whole_run(con, stage):
            return {}
        watchdog.relax()

    def compare(table: PublishedTable) -> Compared | None:
        """Compare one table slice by slice; None where something came between, or the target is another."""
        with open_warehouse(settings, purpose=purpose) as con:
            moment = _moment(con, table)
        found: Difference | None = None
        for number in range(slices):
            doing = f"{purpose}: comparing {table.name}, {number + 1} of {slices}"
            with open_warehouse(settings, purpose=doing) as con:
                if _moment(con, table) != moment:
                    return None
                differing = compare_slice(con, table, number, slices)
            let_others_in()
            found = differing if found is None else found.and_also(differing)
            while found.rows > rows_at_once:
                part, found = found.split(rows_at_once)
                with open_warehouse(settings, purpose=f"{purpose}: sending {table.name}") as con:
                    if _moment(con, table) != moment or not publish_part(
                        con, stage, table, part, dsn=dsn, run_id=run_id
                    ):
                        return None
                    moment = _moment(con, table)
                let_others_in()
        return None if found is None else Compared(moment, found)

    tables = [table for table in STAGE_TABLES[stage] if table not in STAGE_TABLES[AWAKE]]
    return {table.name: compared for table in tables if (compared := compare(table))}


def _moment(con: duckdb.DuckDBPyConnection, table: PublishedTable) -> Moment:
    runs = con.execute(
        "select stage, sequence from raw.run_context where stage <> ? order by stage", [AWAKE]
    ).fetchall()
    (removals,) = con.execute("select count(*) from raw.receipts").fetchall()[0]
    return Moment(tuple(runs), removals, mark_in_warehouse(con, table))
