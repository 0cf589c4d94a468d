"""`biomem forget --hard`: memories leave the files, the log, the models, the published tables, the backups, the bytes.

In that order, each step harmless to repeat. A receipt is left with the first change and marked complete with the last,
so that a deletion that was cut short is finished by the next one; until then the memory is out of the log already, and
every run of a stage works without it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from biomem.deletion import copies, files, target
from biomem.errors import WarehouseError
from biomem.parameters import load_parameters
from biomem.source.dsn import connect, place
from biomem.warehouse import removal
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.lock import warehouse_lock
from biomem.warehouse.publish import publish_stage
from biomem.warehouse.rebuild import ROUND, run_stage
from biomem.warehouse.target_schema import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    import duckdb

    from biomem.settings import Settings

    Tell = Callable[[str], None]

WAIT_S = 900.0  # for the warehouse
STAGE_WAIT_S = 120.0  # for a run that is under way, before it is taken for dead
TOLD_AFTER_S = 1.0
POLL_S = 0.5


@dataclass(frozen=True)
class Request:
    """Who wants which memories removed, when and why. `forgotten_at` is the time of asking."""

    ids: tuple[str, ...]
    forgotten_at: datetime
    requested_by: str
    reason: str | None = None
    with_repeats: bool = False
    skip_vacuum: bool = False


@dataclass
class Report:
    """What was removed, or would be.

    `rows` counts, per table, the rows that held or named one of the memories; `repeats` the memories that say the same
    and stay; `left` what could not be reached, with the reason.
    """

    forgotten: list[str] = field(default_factory=list)
    already_forgotten: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    repeats: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    files_cleaned: list[str] = field(default_factory=list)
    files_removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0


def preview(settings: Settings, request: Request, *, target_dsn: str) -> Report:
    """What `forget` would remove; changes nothing. The copies are those that it would look through."""
    with open_warehouse(settings, read_only=True, purpose="forget --dry-run") as con:
        memories, report = _survey(con, request)
        counts = removal.count(con, report.forgotten)
    _blot_out(settings, memories, report, is_dry_run=True)
    if memories:
        _clean_copies(settings, [], report, is_dry_run=True)
    with connect(target_dsn, autocommit=True) as pg:
        _add_rows(report, counts, target.count(pg, report.forgotten))
    return report


def forget(settings: Settings, request: Request, *, target_dsn: str, tell: Tell = lambda _: None) -> Report:
    """Remove the memories from everywhere that the pipeline reaches; also what an earlier deletion left unfinished.

    Waits for its turn at the warehouse and for a run that is under way; `tell` hears about that and each step.
    Raises WarehouseError or PublishError when a step fails; the same call finishes what was begun.
    """
    started = time.monotonic()
    with _quiet_warehouse(settings, tell):
        report = _take_out(settings, request, tell)
        with open_warehouse(settings, purpose="forget") as con:
            receipts = removal.receipts(con)
        unfinished = [receipt for receipt in receipts if not receipt.is_complete]
        known = [receipt.memory_id for receipt in receipts]
        if known:
            with connect(target_dsn) as pg:
                migrate(pg)
                _add_rows(report, {}, target.count(pg, report.forgotten))
                pg.commit()
        if unfinished:
            _publish_without(settings, request, unfinished, target_dsn, tell)
        if known:
            with connect(target_dsn) as pg:
                target.sweep(pg, known)
                pg.commit()
        if unfinished:
            if not request.skip_vacuum:
                tell("rewriting the published tables without the freed bytes")
                with connect(target_dsn, autocommit=True) as pg:
                    report.left += target.vacuum(pg)
            tell("writing the warehouse and its backups anew without the freed bytes")
            _clean_copies(settings, unfinished, report)
            copies.rewrite(settings)
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _take_out(settings: Settings, request: Request, tell: Tell) -> Report:
    """Blot the texts out while they are known, then take the memories out of the log and the models."""
    with open_warehouse(settings, purpose="forget") as con:
        memories, report = _survey(con, request)
        counts = removal.count(con, report.forgotten)
        if memories:
            tell("blotting the texts out of logs and reports")
            _blot_out(settings, memories, report)
            tell(f"removing {len(memories)} memories from the log and the models")
            removal.take_out(
                con,
                [
                    removal.Receipt(
                        memory_id=memory.memory_id,
                        agent_id=memory.agent_id,
                        source_name=memory.source_name,
                        forgotten_at=request.forgotten_at,
                        requested_by=request.requested_by,
                        reason=request.reason,
                        rows_removed=counts[memory.memory_id],
                        is_blocked=True,
                        is_complete=False,
                    )
                    for memory in memories
                ],
            )
    _add_rows(report, counts, {})
    return report


def _survey(con: duckdb.DuckDBPyConnection, request: Request) -> tuple[list[removal.Found], Report]:
    """The memories to remove, and a report of those asked for that are not there."""
    wanted = list(dict.fromkeys(request.ids))
    memories = removal.find(con, wanted)
    if request.with_repeats:
        memories = removal.find(con, sorted({*wanted, *(twin for memory in memories for twin in memory.repeats)}))
    there = {memory.memory_id for memory in memories}
    gone = {receipt.memory_id for receipt in removal.receipts(con, wanted)} - there
    return memories, Report(
        forgotten=sorted(there),
        already_forgotten=[memory_id for memory_id in wanted if memory_id in gone],
        unknown=[memory_id for memory_id in wanted if memory_id not in gone | there],
        repeats={memory.memory_id: list(memory.repeats) for memory in memories if memory.repeats},
    )


def _publish_without(
    settings: Settings, request: Request, unfinished: Sequence[removal.Receipt], target_dsn: str, tell: Tell
) -> None:
    """Compute the agents anew and publish every stage."""
    run_id = f"{removal.RUN_PREFIX}{request.forgotten_at.isoformat()}"
    stages = _compute_anew(settings, {receipt.agent_id for receipt in unfinished}, run_id, tell)
    tell(f"publishing to {place(target_dsn)}")
    with open_warehouse(settings, purpose="forget") as con:
        for stage in stages:
            publish_stage(con, stage, dsn=target_dsn, run_id=run_id, parameters=load_parameters(settings))


def _compute_anew(settings: Settings, agents: set[str], run_id: str, tell: Tell) -> list[str]:
    """Run every stage again where it stands: the agents from nothing, the others have nothing new. Which stages ran."""
    with open_warehouse(settings, purpose="forget") as con:
        clocks = dict(con.execute("select stage, all_agents_as_of from raw.run_context").fetchall())
    stages = [stage for stage in ROUND if stage in clocks]
    for number, stage in enumerate(stages, 1):
        tell(f"computing {len(agents)} agent(s) anew: {stage} ({number} of {len(stages)})")
        if clocks[stage] is not None:
            run_stage(settings, stage, clocks[stage], run_id)
        with open_warehouse(settings, purpose="forget") as con:
            ahead = con.execute(
                "select agent_id, as_of from raw.agent_clock where stage = ? and not is_in_run "
                "and agent_id in (select unnest(?)) order by agent_id",
                [stage, sorted(agents)],
            ).fetchall()
        # agents that a run of their own took further than the rest
        for agent_id, at in ahead:
            run_stage(settings, stage, at, run_id, agent_id=agent_id)
    return sorted(set(stages), key=stages.index)


@contextmanager
def _quiet_warehouse(settings: Settings, tell: Tell) -> Iterator[None]:
    """Hold the warehouse while no stage is being computed, so that no run finds its ground taken away half-way."""
    deadline = time.monotonic() + STAGE_WAIT_S
    told = None
    while True:
        with _lock(settings, tell):
            with open_warehouse(settings, purpose="forget") as con:
                stage = removal.stage_in_progress(con)
            if stage is None or time.monotonic() > deadline:
                yield
                return
        if stage != told:
            tell(f"waiting for the run of {stage} to end (up to {STAGE_WAIT_S:.0f} s, then it counts as dead)")
            told = stage
        time.sleep(POLL_S)


@contextmanager
def _lock(settings: Settings, tell: Tell) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(warehouse_lock(settings.home, wait_s=TOLD_AFTER_S, purpose="forget"))
        except WarehouseError as error:
            tell(f"waiting: {error}")
            stack.enter_context(warehouse_lock(settings.home, wait_s=WAIT_S, purpose="forget"))
        yield


def _blot_out(
    settings: Settings, memories: Sequence[removal.Found], report: Report, *, is_dry_run: bool = False
) -> None:
    cleaned, left = files.blot_out(settings, [memory.content for memory in memories], is_dry_run=is_dry_run)
    report.files_cleaned += cleaned
    report.left += [f"{path} holds a text and is no file of plain text: delete it" for path in left]


def _clean_copies(
    settings: Settings, receipts: Sequence[removal.Receipt], report: Report, *, is_dry_run: bool = False
) -> None:
    cleaned = copies.clean(settings, receipts, is_dry_run=is_dry_run)
    report.files_cleaned += cleaned.cleaned
    report.files_removed += cleaned.removed
    report.left += cleaned.left


def _add_rows(report: Report, counts: dict[str, dict[str, int]], published: dict[str, int]) -> None:
    for tables in [*counts.values(), {f"memory.{table}": number for table, number in published.items()}]:
        for table, number in tables.items():
            report.rows[table] = report.rows.get(table, 0) + number
