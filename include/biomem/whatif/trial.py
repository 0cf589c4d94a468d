"""One trial: the log computed twice in copies of the warehouse, with the parameters of now and with others.

Both copies are built at once from the same log up to the same instant, so that nothing but the parameters differs.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from biomem.errors import ConfigurationError, WarehouseError
from biomem.oracles.report import run_oracles
from biomem.overrides import Change, read_overrides, save_change
from biomem.parameters import load_parameters, parameters_with, params_hash
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import require_agent
from biomem.warehouse.rebuild import rebuild
from biomem.whatif.outcome import compare, note_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from biomem.oracles.result import Oracle
    from biomem.settings import Settings
    from biomem.whatif.outcome import Difference

    Report = Callable[[str], None]

NOW, THEN = "now", "then"


@dataclass(frozen=True)
class Question:
    """Which parameters to try; for whose memories (None: all agents'), as of when, and what to count.

    Without an `as_of` the memory is computed up to where its last run stands. `since` counts only what would have
    been forgotten, kept or promoted from then on.
    """

    parameters: Mapping[str, Any]
    agent_id: str | None = None
    as_of: datetime | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class Trial:
    """What came of it: each parameter, count and oracle as {"now": .., "then": ..}.

    `differences` counts the memories that fare differently, by how; `examples` holds some of each.
    """

    question: Question
    as_of: datetime
    params_hash: str
    parameters: dict[str, dict[str, Any]]
    counts: dict[str, dict[str, float]]
    differences: dict[str, int]
    examples: list[Difference]
    oracles: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def require_sensible(settings: Settings, question: Question) -> dict[str, dict[str, Any]]:
    """The parameters that would change, as they are now and then.

    Raises ConfigurationError for an unknown parameter, a value out of range, or when none would change.
    """
    now = load_parameters(settings)
    then = parameters_with(settings, {**read_overrides(settings), **question.parameters})
    changed = {
        name: {NOW: now[name].value, THEN: then[name].value}
        for name in question.parameters
        if now[name].value != then[name].value
    }
    if not changed:
        raise ConfigurationError(
            "no parameter would change: set at least one to another value than it has now (`biomem params` lists them)"
        )
    if question.since and question.as_of and question.since > question.as_of:
        raise ConfigurationError(f"since {question.since} lies after as_of {question.as_of}: nothing would be counted")
    return changed


def take_copies(settings: Settings, question: Question, folder: Path) -> datetime:
    """Copy the warehouse into `folder` twice, with the memories of the agent in question only; up to when to compute.

    Raises WarehouseError when nothing was computed yet, ConfigurationError for an unknown agent or as
    `require_sensible`.
    """
    require_sensible(settings, question)
    sides = _sides(settings, folder)
    for side in sides.values():
        shutil.rmtree(side.home, ignore_errors=True)
        side.home.mkdir(parents=True)
    with open_warehouse(settings, purpose="what_if") as con:
        row: Any = con.execute("select max(as_of) from raw.run_context").fetchone()
        if row[0] is None:
            raise WarehouseError("there is nothing to compare yet, no stage has run: `biomem run short_term_memory`")
        if question.agent_id is not None:
            require_agent(con, question.agent_id)
        con.execute("checkpoint")
        for side in sides.values():
            shutil.copyfile(settings.warehouse_path, side.warehouse_path)
    for side in sides.values():
        if question.agent_id is not None:
            _keep_agent(side, question.agent_id)
    as_of: datetime = question.as_of or row[0]
    return as_of


def try_parameters(
    settings: Settings, question: Question, folder: Path, as_of: datetime, *, report: Report = lambda _: None
) -> Trial:
    """Build both copies of `take_copies` up to `as_of`, and compare what became of each memory.

    Raises ConfigurationError as `require_sensible`, WarehouseError when a model cannot be built.
    """
    started = time.monotonic()
    changed = require_sensible(settings, question)
    sides = _sides(settings, folder)
    values = {**read_overrides(settings), **question.parameters}
    save_change(sides[THEN], Change(as_of, "what_if", "a trial", values))
    for name, side in sides.items():
        report(f"computing the memory with the parameters of {name}")
        rebuild(side, as_of, report=report)
        note_outcome(side)
    counts, differences, examples = compare(sides[NOW], sides[THEN], question.since)
    report("holding both against published human data")
    return Trial(
        question=question,
        as_of=as_of,
        params_hash=params_hash(sides[THEN]),
        parameters=changed,
        counts=counts,
        differences=differences,
        examples=examples,
        oracles=_oracles(sides[NOW], sides[THEN]),
        seconds=round(time.monotonic() - started, 3),
    )


def _sides(settings: Settings, folder: Path) -> dict[str, Settings]:
    return {
        NOW: replace(settings, home=folder / NOW),
        THEN: replace(settings, home=folder / THEN, own_parameters=folder / THEN / "parameters.yml"),
    }


def _keep_agent(side: Settings, agent_id: str) -> None:
    """Take the other agents out of the log: no agent's memory depends on another's."""
    with open_warehouse(side, purpose="what_if") as con:
        con.execute("delete from raw.memories where agent_id <> ?", [agent_id])
        for table in ("revisions", "access_log", "deletions"):
            con.execute(f"delete from raw.{table} where memory_id not in (select memory_id from raw.memories)")
        for table in ("agents", "agent_clock"):
            con.execute(f"delete from raw.{table} where agent_id <> ?", [agent_id])


def _oracles(now: Settings, then: Settings) -> list[dict[str, Any]]:
    """Every measure against published data, with the parameters of now and of then."""
    return [_measure(before, after) for before, after in zip(run_oracles(now), run_oracles(then), strict=True)]


def _measure(now: Oracle, then: Oracle) -> dict[str, Any]:
    def side(one: Oracle) -> dict[str, Any]:
        return {"value": one.value, "rmse": one.rmse, "pass": one.passed}

    about = {"dataset": now.subject.dataset, "source": now.subject.source, "measure": now.measure, "bound": now.bound}
    return {**about, NOW: side(now), THEN: side(then)}
