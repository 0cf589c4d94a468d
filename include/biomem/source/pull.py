"""Pulling one source table into `raw.memories`: read a consistent picture first, then change the warehouse at once.

What changed is read in one snapshot of the source into temporary tables (`staging`), by the cursor that the mapping
chose (`cursors`), and the source is then left alone. Rows, revisions, tombstones (`changes`) and the watermark go into
the warehouse in one DuckDB transaction, so that a pull that dies anywhere has done nothing, and one that is repeated
does nothing twice. A big table that must be read whole is read in portions that are each committed (`backfill`), and
its texts are encoded afterwards (`scoring`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from biomem.errors import SourceError
from biomem.source.access_log import pull_access_log, pull_accesses
from biomem.source.backfill import Backfill, Outcome, forget_backfill, read_backfill, run_backfill
from biomem.source.blame import blame
from biomem.source.changes import apply_changes
from biomem.source.cursors import Cursor, open_cursor
from biomem.source.extent import measure
from biomem.source.mapping import ACCESS_LOG
from biomem.source.progress import Report, log_progress
from biomem.source.reading import Reading, describe_source
from biomem.source.scanner import UnreadableValue, attached
from biomem.source.scoring import encode_waiting
from biomem.source.staging import (
    Staged,
    TooBig,
    refuse_ids_of_other_sources,
    set_aside_unusable,
    stage_changes,
    stage_rest,
)
from biomem.source.watermark import (
    Changes,
    PullResult,
    Watermark,
    count_poll,
    next_batch,
    note_complete,
    read_watermark,
    record_pull,
    save_watermark,
    scalar,
    why_whole,
)
from biomem.warehouse.connection import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import duckdb

    from biomem.source.mapping import SourceTable

ASKED_FOR = "somebody asked for it"


def pull_all(
    con: duckdb.DuckDBPyConnection,
    sources: Sequence[SourceTable],
    *,
    source_dsn: str,
    target_dsn: str,
    as_of: datetime | None = None,
    run_id: str | None = None,
    reconcile: bool = False,
    is_full: bool = False,
    with_accesses: bool = True,
    report: Report = log_progress,
) -> list[PullResult]:
    """Pull the access log of the target (unless told otherwise), then every source table.

    See `pull_source` for the arguments and errors.
    """
    # a source that cannot be pulled keeps no access waiting
    accesses = pull_access_log(con, dsn=target_dsn, as_of=as_of, run_id=run_id) if with_accesses else None
    results = [
        pull_source(
            con,
            source,
            dsn=source_dsn,
            as_of=as_of,
            run_id=run_id,
            reconcile=reconcile,
            is_full=is_full,
            report=report,
        )
        for source in sources
    ]
    return [*results, accesses] if accesses else results


def pull_source(
    con: duckdb.DuckDBPyConnection,
    source: SourceTable,
    *,
    dsn: str,
    as_of: datetime | None = None,
    run_id: str | None = None,
    reconcile: bool = False,
    is_full: bool = False,
    report: Report = log_progress,
) -> PullResult:
    """Bring the warehouse up to date with one source table, of memories or of accesses.

    `as_of` becomes the time of deletions and of edits that the source itself does not date; without it the newest
    time in the data does. `reconcile` compares all keys now rather than at the next turn. `report` is told how far a
    backfill has come.
    Raises SourceError when the table cannot be pulled as it is, with the warehouse as it was, except that a backfill
    keeps the portions it has read.
    """
    try:
        if source.kind == ACCESS_LOG:
            return pull_accesses(con, source, dsn=dsn, as_of=as_of, run_id=run_id)
        return _pull_memories(con, source, dsn, as_of, run_id, reconcile, is_full, report)
    except UnreadableValue as error:
        raise SourceError(blame(source, dsn) or f"{error}; `biomem source doctor` names the column") from None


def _pull_memories(
    con: duckdb.DuckDBPyConnection,
    source: SourceTable,
    dsn: str,
    as_of: datetime | None,
    run_id: str | None,
    reconcile: bool,
    is_full: bool,
    report: Report,
) -> PullResult:
    reading = describe_source(source, dsn)
    pull = _Pull(con, reading, open_cursor(reading, dsn), dsn, as_of, run_id, report, time.monotonic())
    before = read_watermark(con, source.name)
    with attached(con, dsn):
        staged, filled = pull.read(before, reconcile, ASKED_FOR if is_full else None)
    result = pull.write(before, staged, filled)
    pull.cursor.release(staged.mark)
    note_complete(con, source.name, as_of)
    return result


@dataclass(frozen=True)
class _Pull:
    """One pull of one source."""

    con: duckdb.DuckDBPyConnection
    reading: Reading
    cursor: Cursor
    dsn: str
    as_of: datetime | None
    run_id: str | None
    report: Report
    started: float

    @property
    def name(self) -> str:
        return self.reading.source.name

    def read(
        self, before: Watermark | None, reconcile: bool, whole_because: str | None
    ) -> tuple[Staged, list[Outcome]]:
        """Bring what changed into temporary tables; what is too big for that goes to the warehouse by a backfill."""
        filled = []
        begun = self._unfinished_backfill()
        staged = (
            TooBig(begun.mark, "a backfill was cut short, and goes on")
            if begun
            else stage_changes(
                self.con, self.reading, self.cursor, before, reconcile=reconcile, whole_because=whole_because
            )
        )
        while isinstance(staged, TooBig):
            extent = measure(self.con, self.reading)
            backfill = begun or Backfill(staged.mark, self.reading.identity, extent.storage, 0, 0, 0)
            outcome = run_backfill(
                self.con,
                self.reading,
                backfill,
                extent,
                dsn=self.dsn,
                as_of=self.as_of,
                run_id=self.run_id,
                report=self.report,
            )
            filled.append(outcome)
            begun, reason = None, staged.full_because
            if outcome.is_one_snapshot:
                stage_rest(self.con, self.reading, compare_keys=not outcome.is_first)
                staged = Staged(backfill.mark, reason, is_reconciled=True)
            else:
                mark = backfill.as_watermark(self.name)
                staged = stage_changes(self.con, self.reading, self.cursor, mark, reconcile=True)
        return staged, filled

    def write(self, before: Watermark | None, staged: Staged, filled: list[Outcome]) -> PullResult:
        """Change the warehouse, and say what was done."""
        con = self.con
        after = Watermark(
            self.name,
            staged.mark,
            self.reading.identity,
            before.batch_id if before else 0,
            before.polls + 1 if before else 1,
        )
        rows_read = int(scalar(con.execute("select count(*) from pulled")))
        is_idle = not (rows_read or scalar(con.execute("select count(*) from vanished")))
        changes = Changes(0, 0, 0)
        skipped: dict[str, int] = {}
        examples: list[str] = []
        if before and before.mark == after.mark and is_idle and not staged.is_reconciled and not filled:
            count_poll(con, after)
        else:
            with transaction(con):
                changes, skipped, examples = self._apply(before, staged)
                if changes.total:
                    after = replace(after, batch_id=next_batch(con) - 1)
                save_watermark(con, after)
                forget_backfill(con, self.name)
        for outcome in filled:
            changes = changes.plus(outcome.changes)
            rows_read += outcome.rows
        encoded = encode_waiting(con, after, as_of=self.as_of, run_id=self.run_id, report=self.report)
        changes = changes.plus(encoded)
        return PullResult(
            source=self.name,
            rows_read=rows_read,
            rows_inserted=changes.inserted,
            rows_updated=changes.updated,
            rows_deleted=changes.deleted,
            rows_skipped=skipped,
            skipped_examples=examples,
            watermark_before=before.mark.position if before else None,
            watermark_after=after.mark.position,
            is_full=bool(staged.full_because or filled),
            full_because=staged.full_because if before or filled else None,
            is_reconciled=staged.is_reconciled,
            batch_id=next_batch(con) - 1 if changes.total else None,
            seconds=round(time.monotonic() - self.started, 3),
        )

    def _apply(self, before: Watermark | None, staged: Staged) -> tuple[Changes, dict[str, int], list[str]]:
        """Bring `raw` in line; returns the changes, and the rows that cannot be taken, by reason and by example."""
        con = self.con
        skipped, examples = set_aside_unusable(con, staged.is_reconciled)
        refuse_ids_of_other_sources(con, self.name)
        batch_id = next_batch(con)
        changes = apply_changes(con, self.name, self.as_of, batch_id)
        if changes.total:
            record_pull(
                con,
                source_name=self.name,
                batch_id=batch_id,
                run_id=self.run_id,
                as_of=self.as_of,
                horizon_before=before.horizon if before else None,
                horizon_after=staged.mark.horizon,
                changes=changes,
                seconds=time.monotonic() - self.started,
            )
        return changes, skipped, examples

    def _unfinished_backfill(self) -> Backfill | None:
        """The backfill to go on with, unless the table is another one by now, or its rows were moved."""
        begun = read_backfill(self.con, self.name)
        if begun is None or begun.identity != self.reading.identity:
            return None
        with transaction(self.con):
            mark = self.cursor.mark(self.con, begun.mark)
            is_where_it_was = measure(self.con, self.reading).storage == begun.storage
        is_told = why_whole(begun.as_watermark(self.name), self.reading.identity, mark) is None
        return begun if is_where_it_was and is_told else None
