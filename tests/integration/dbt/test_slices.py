"""A model that is computed for some agents at a time comes out as one that is computed for all at once."""

from __future__ import annotations

import shutil
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from biomem.parameters import params_hash
from biomem.warehouse.context import AWAKE, STAGES, begin_stage, complete_stage
from biomem.warehouse.slices import begin_slice, end_slice
from biomem.warehouse.transform import lineage, run_models
from lives import Life, day

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

# ids that the bounds of a slice must survive, in the order of their bytes, which is that of slices
AGENTS = ("bo's \"own\"", "{{ cy }}", "\u00c9a", "\U0010ffff")
MEMORIES = 3
AT_ONCE = 2 * MEMORIES
SLICES = 2


def test_slices_of_agents_together_are_the_whole(life: Life, tmp_path: Path) -> None:
    life.pull(
        [
            {
                "memory_id": f"{agent}-{number}",
                "agent_id": agent,
                "session_id": f"of {agent}",
                "content": f"note {number} about rain, {'tea, cake' if number else 'work'} and music",
                "occurred_at": day(number / 1000),
            }
            for agent in AGENTS
            for number in range(MEMORIES)
        ],
        _accesses(1, 12),
    )
    life.run(AWAKE, day(13))
    at_once = Life(tmp_path / "at-once")
    at_once.batch = life.batch
    at_once.settings.home.mkdir()
    shutil.copyfile(life.settings.warehouse_path, at_once.settings.warehouse_path)
    _sleep(life, at_once, day(13))
    for each in (life, at_once):
        each.pull(accesses=_accesses(13, 15), deleted={f"{AGENTS[0]}-1": day(14)})
        each.run(AWAKE, day(60))
    _sleep(life, at_once, day(60))


def _sleep(sliced: Life, at_once: Life, as_of: datetime) -> None:
    """Let both sleep, the one in slices and the other at once; every model of theirs has the same rows then."""
    models = lineage(sliced.settings)
    order = list(TopologicalSorter({name: model.parents for name, model in models.items()}).static_order())
    for stage in STAGES[1:]:
        own = [name for name in order if models[name].stage == stage]
        for each in (sliced, at_once):
            _begin(each, stage, as_of)
        run_models(at_once.settings, "--select", *own)
        for name in own:
            is_sliced = models[name].memories_at_once is not None
            assert _run(sliced, stage, name, is_sliced) == (SLICES if is_sliced else 1), name
        for each in (sliced, at_once):
            with each.open() as con:
                complete_stage(con, stage, f"sleep-{stage}")
        for name in own:
            one, other = (sorted(map(repr, each.rows(f"select * from {name}"))) for each in (sliced, at_once))
            assert one, name
            assert one == other, name


def _accesses(first: int, last: int) -> list[tuple[str, datetime]]:
    return [
        (f"{agent}-{number}", day(at + number / 1000))
        for agent in AGENTS
        for number in range(MEMORIES)
        for at in range(first, last)
    ]


def _begin(life: Life, stage: str, as_of: datetime) -> None:
    with life.open() as con:
        begin_stage(con, stage, run_id=f"sleep-{stage}", as_of=as_of, params_hash=params_hash(life.settings))


def _run(life: Life, stage: str, model: str, is_sliced: bool) -> int:
    """Compute a model as its task does; in how many runs of dbt. A slice of replays is repeated, as after a kill."""
    runs, is_done = 0, False
    while not is_done:
        if is_sliced:
            with life.open() as con:
                begin_slice(con, stage, model, memories=AT_ONCE)
            if model == "memory_replay" and runs == 0:
                run_models(life.settings, "--select", model)
                with life.open() as con:
                    begin_slice(con, stage, model, memories=AT_ONCE)
        run_models(life.settings, "--select", model)
        with life.open() as con:
            is_done = not is_sliced or end_slice(con, model)
        runs += 1
    return runs
