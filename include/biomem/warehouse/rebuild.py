"""Building everything anew from the log, and proving that what was built bit by bit is the same.

The log is schema `raw`; all else follows from it, the parameters and the clocks of the stages.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from biomem.errors import ConfigurationError, WarehouseError
from biomem.parameters import load_parameters, params_hash
from biomem.warehouse.compare import differing_rows, fingerprint, freeze_views
from biomem.warehouse.connection import open_warehouse, quote_identifier, without_progress_bar
from biomem.warehouse.context import STAGES, begin_stage, complete_stage
from biomem.warehouse.publish import publish_stage
from biomem.warehouse.settled import settled_models
from biomem.warehouse.transform import model_names, run_models

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from biomem.settings import Settings
    from biomem.warehouse.publish import PublishResult

ROUND = (*STAGES, "nightly_decay", "short_term_memory")
"""Every stage once, then those that take up what a later one wrote: the ledger prunes, the traces replays."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class ModelComparison:
    """One model built bit by bit (`rows`) and built anew (`rebuilt_rows`), with the first rows that differ."""

    model: str
    rows: int
    rebuilt_rows: int
    differences: tuple[dict[str, Any], ...]

    @property
    def verdict(self) -> Literal["equal", "empty", "different"]:
        """An empty model proves nothing: it is not called equal."""
        if self.differences or self.rows != self.rebuilt_rows:
            return "different"
        return "equal" if self.rows else "empty"


def rebuild(
    settings: Settings,
    as_of: datetime | None = None,
    *,
    stage: str | None = None,
    run_id: str = "rebuild",
    report: Report = lambda _: None,
) -> list[str]:
    """Build every model of the warehouse anew from the log, each stage at `as_of` (default: where it stands).

    `as_of` may lie before what was computed: the memory as it was then. `stage` limits it to the models of one, where
    it stands. Returns the stages that were built, each now in run `run_id`. The warehouse stays open from the first
    stage to the last: nobody sees, or goes on from, a memory half of which is as of another instant.
    Raises WarehouseError when nothing was pulled yet or a model cannot be built, ConfigurationError when a single
    stage is to go to another instant than the rest.
    """
    if stage is not None and as_of is not None:
        raise ConfigurationError(
            f"{stage} alone cannot be built as of another instant than the other stages: leave out as_of, or build all"
        )
    built = []
    with open_warehouse(settings, purpose="rebuild", is_long=True):
        clocks = _clocks(settings)
        if stage is not None and stage not in clocks:
            raise ConfigurationError(f"{stage} has not run yet, there is nothing to build anew; run it first")
        for name in ROUND if stage is None else (stage,):
            at = as_of or clocks.get(name)
            if at is None:
                continue
            report(f"{name} as of {at.isoformat()}")
            run_stage(settings, name, at, run_id, is_whole=True)
            built.append(name)
    return sorted(set(built), key=STAGES.index)


def rebuild_and_publish(
    settings: Settings,
    as_of: datetime | None = None,
    *,
    stage: str | None = None,
    run_id: str,
    dsn: str,
    report: Report = lambda _: None,
) -> dict[str, PublishResult]:
    """`rebuild`, and what changed by it in schema `memory` of `dsn`. Raises PublishError besides."""
    parameters = load_parameters(settings)
    with open_warehouse(settings, purpose="rebuild", is_long=True) as con:
        built = rebuild(settings, as_of, stage=stage, run_id=run_id, report=report)
        return {name: publish_stage(con, name, dsn=dsn, run_id=run_id, parameters=parameters) for name in built}


def verify(
    settings: Settings, as_of: datetime | None = None, *, report: Report = lambda _: None
) -> list[ModelComparison]:
    """Compare every model, brought up to date bit by bit, with the same built at once from the log.

    Both happen in scratch copies; the warehouse itself stays as it is. What was pulled, or replayed, since a stage
    last ran is taken up first, so that both sides know the same log; a row that this changes though nothing was new to
    its model is a difference too. With an `as_of` before what was computed, the incremental side begins again and goes
    there in several steps.
    Raises WarehouseError when nothing was computed yet, or when the copies cannot be made.
    """
    clocks = _clocks(settings)
    if not clocks:
        raise WarehouseError(
            "there is nothing to verify yet: no stage has run; run `biomem demo` or `biomem run` first"
        )
    with _scratch(settings) as (lived, rebuilt):
        settled = settled_models(lived) if as_of is None or set(clocks.values()) == {as_of} else []
        report("bringing a copy up to date, as every run does")
        _catch_up(lived, clocks, as_of)
        altered = _altered(rebuilt, lived, settled)
        report("building another copy at once, from the log alone")
        _empty_models(rebuilt)
        _adopt_clocks(rebuilt, lived)
        with open_warehouse(rebuilt, purpose="rebuild --verify", is_long=True):
            for stage in ROUND:
                if stage in clocks:
                    run_models(rebuilt, "--select", f"tag:{stage}", "--full-refresh")
        for copy in (lived, rebuilt):
            with open_warehouse(copy) as con:
                freeze_views(con)
        comparisons = [altered.get(model) or _compare(lived, rebuilt, model) for model in model_names(settings)]
    for comparison in comparisons:
        report(f"{comparison.model}: {comparison.rows} rows, {comparison.verdict}")
    return comparisons


def _altered(stored: Settings, lived: Settings, settled: list[str]) -> dict[str, ModelComparison]:
    """Of the models to which nothing was new, those whose stored rows are not what their run gives."""
    comparisons = (_compare(stored, lived, model, ("stored", "computed again")) for model in settled)
    return {comparison.model: comparison for comparison in comparisons if comparison.verdict == "different"}


def _catch_up(settings: Settings, clocks: dict[str, datetime], as_of: datetime | None) -> None:
    if as_of is not None and any(as_of < at for at in clocks.values()):
        _empty_models(settings)
        _forget_clocks(settings)
        first = _first_instant(settings)
        steps = [first + (as_of - first) * share for share in (0.25, 0.5, 0.75)] if first < as_of else []
        for number, step in enumerate([*steps, as_of]):
            for stage in ROUND:
                run_stage(settings, stage, step, f"verify-{number}-{stage}")
        return
    for stage in ROUND:
        if stage not in clocks:
            continue
        run_stage(settings, stage, as_of or clocks[stage], f"verify-{stage}")
        # agents that a run of their own took further than the rest
        for agent_id, at in _agents_ahead(settings, stage):
            run_stage(settings, stage, at, f"verify-{stage}-{agent_id}", agent_id=agent_id)


def run_stage(
    settings: Settings, stage: str, as_of: datetime, run_id: str, *, agent_id: str | None = None, is_whole: bool = False
) -> dict[str, float]:
    """One run of a stage outside Airflow, for all agents or one; `is_whole` builds its models anew at any instant.

    Returns the seconds that each node took. The warehouse stays open all the while: dbt would open and close the file
    for each model.
    """
    with open_warehouse(settings, purpose="rebuild", is_long=True) as con:
        begin_stage(
            con,
            stage,
            run_id=run_id,
            as_of=as_of,
            params_hash=params_hash(settings),
            agent_id=agent_id,
            full_refresh=is_whole,
            rewind=is_whole,
        )
        seconds = run_models(settings, "--select", f"tag:{stage}", *(["--full-refresh"] if is_whole else []))
        complete_stage(con, stage, run_id)
    return seconds


def _compare(
    lived: Settings, rebuilt: Settings, model: str, sides: tuple[str, str] = ("incremental", "rebuilt")
) -> ModelComparison:
    import duckdb

    with without_progress_bar(duckdb.connect()) as con:
        con.execute("set timezone = 'UTC'")
        for name, settings in (("lived", lived), ("rebuilt", rebuilt)):
            path = str(settings.warehouse_path).replace("'", "''")
            con.execute(f"attach '{path}' as {name} (read_only)")
        before, after = (fingerprint(con, name, model) for name in ("lived", "rebuilt"))
        differences = [] if before == after else differing_rows(con, model, sides)
    # a hash of two numbers that differ in their last bits only differs too: rows decide
    rows, rebuilt_rows = (0 if side is None else side.rows for side in (before, after))
    return ModelComparison(model, rows, rebuilt_rows, tuple(differences))


@contextmanager
def _scratch(settings: Settings) -> Iterator[tuple[Settings, Settings]]:
    """Two copies of the warehouse, beside it (a copy may be large, and /tmp small), gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="verify-", dir=settings.home) as folder:
        copies = (replace(settings, home=Path(folder, "lived")), replace(settings, home=Path(folder, "rebuilt")))
        with open_warehouse(settings, purpose="rebuild --verify") as con:
            con.execute("checkpoint")
            for copy in copies:
                copy.home.mkdir()
                shutil.copy(settings.warehouse_path, copy.warehouse_path)
        yield copies


def _empty_models(settings: Settings) -> None:
    with open_warehouse(settings) as con:
        for name, kind in con.execute(
            "select table_name, table_type from information_schema.tables where table_schema = 'main'"
        ).fetchall():
            what = "view" if kind == "VIEW" else "table"
            con.execute(f"drop {what} if exists main.{quote_identifier(name)} cascade")


def _adopt_clocks(settings: Settings, source: Settings) -> None:
    """Give one copy the clocks and runs of the other, so that both compute up to the same instants."""
    with open_warehouse(settings) as con:
        path = str(source.warehouse_path).replace("'", "''")
        con.execute(f"attach '{path}' as source (read_only)")
        for table in ("run_context", "agent_clock"):
            con.execute(f"delete from raw.{table}")
            con.execute(f"insert into raw.{table} by name select * from source.raw.{table}")
        con.execute("delete from raw.slices")
        con.execute("detach source")


def _forget_clocks(settings: Settings) -> None:
    """Runs are counted from the beginning, so what was published says nothing of what is new."""
    with open_warehouse(settings) as con:
        for table in ("raw.run_context", "raw.agent_clock", "published.seen"):
            con.execute(f"delete from {table}")


def _clocks(settings: Settings) -> dict[str, datetime]:
    with open_warehouse(settings) as con:
        return dict(con.execute("select stage, as_of from raw.run_context").fetchall())


def _agents_ahead(settings: Settings, stage: str) -> list[tuple[str, datetime]]:
    with open_warehouse(settings) as con:
        return con.execute(
            "select agent_id, as_of from raw.agent_clock where stage = ? and not is_in_run order by agent_id", [stage]
        ).fetchall()


def _first_instant(settings: Settings) -> datetime:
    with open_warehouse(settings) as con:
        row: Any = con.execute("select min(occurred_at) from raw.memories").fetchone()
    if row[0] is None:
        raise WarehouseError("there is nothing to verify yet: no memory was pulled; run `biomem run short_term_memory`")
    instant: datetime = row[0]
    return instant
