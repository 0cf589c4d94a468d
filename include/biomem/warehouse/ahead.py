"""What a sleeping stage's publication will send, found before it, in several short holds of the warehouse.

Sleep changes few rows of large tables, but which ones only a comparison of all of them tells. So that windows need not
wait for that, it goes by slices of each table, and the warehouse is let go of after each. What differs is kept by the
caller; a process that dies loses nothing but the comparison. The publication itself then only sends, in one piece as
ever, and compares again itself whatever may be another since (see `still_holds`).

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
from biomem.warehouse.published_tables import STAGE_TABLES, PublishedTable
from biomem.warehouse.send import Difference, compare_slice, mark_in_warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import duckdb

    from biomem.settings import Settings

# At 100,000 memories a slice of the largest table takes two or three seconds (decision 0018). More than so many
# differing rows are not kept but found again by the publication, which will take its time to send them anyway.
MEMORIES_AT_ONCE = 100_000
ROWS_KEPT = 500_000


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
    memories_at_once: int = MEMORIES_AT_ONCE,
    purpose: str = "biomem",
    let_others_in: Callable[[], None] = pause,
) -> Mapping[str, Compared]:
    """What the publication of `stage` will have to send, by table; tables that it must compare itself are left out.

    These are all of a short life, of a run that builds anew, and of windows; what windows publish too; and what was
    never published. After each slice it calls `let_others_in`, without the warehouse.
    Raises WarehouseError when another process keeps the warehouse.
    """
    if stage == AWAKE:
        return {}
    with open_warehouse(settings, purpose=purpose) as con:
        (memories,) = con.execute("select count(*) from raw.memories").fetchall()[0]
        slices = -(-memories // memories_at_once)
        if slices < 2 or is_whole_run(con, stage):
            return {}
        watchdog.relax()
        moments = [(table, _moment(con, table)) for table in STAGE_TABLES[stage] if table not in STAGE_TABLES[AWAKE]]
    found = {}
    for table, moment in moments:
        if moment.mark is not None:
            difference = _compare_table(settings, table, moment, slices, purpose, let_others_in)
            if difference is not None:
                found[table.name] = Compared(moment, difference)
    return found


def _compare_table(
    settings: Settings,
    table: PublishedTable,
    moment: Moment,
    slices: int,
    purpose: str,
    let_others_in: Callable[[], None],
) -> Difference | None:
    import pyarrow

    parts: list[Difference] = []
    for number in range(slices):
        with open_warehouse(settings, purpose=f"{purpose}: comparing {table.name}, {number + 1} of {slices}") as con:
            if _moment(con, table) != moment:
                return None
            parts.append(compare_slice(con, table, number, slices))
        let_others_in()
        if sum(part.changed.num_rows + part.gone.num_rows for part in parts) > ROWS_KEPT:
            return None
    return Difference(
        pyarrow.concat_tables(part.changed for part in parts), pyarrow.concat_tables(part.gone for part in parts)
    )


def _moment(con: duckdb.DuckDBPyConnection, table: PublishedTable) -> Moment:
    runs = con.execute(
        "select stage, sequence from raw.run_context where stage <> ? order by stage", [AWAKE]
    ).fetchall()
    (removals,) = con.execute("select count(*) from raw.receipts").fetchall()[0]
    return Moment(tuple(runs), removals, mark_in_warehouse(con, table))
