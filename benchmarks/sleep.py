"""How long sleep holds the one slot at a time, on top of a large memory.

Builds a life, then lives two sleep cycles more: windows of new events, and after them consolidation, night and week
as their DAGs run them, model by model, incrementally, in slices of agents. Prints of every model of the second time,
and of each stage's tests, how often its task has the warehouse, for how long at most and in all: the wall time of a
whole run of dbt. Fails when one takes longer than `--bound`.

    python benchmarks/sleep.py --memories 1000000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import AWAKE, STAGES, begin_stage, complete_stage
from biomem.warehouse.slices import begin_slice, end_slice
from biomem.warehouse.transform import lineage, run_models
from rebuild import DAYS, START, generate, rebuild, run
from window import EVENTS_PER_MEMORY, remember

if TYPE_CHECKING:
    from biomem.settings import Settings

SLEEP = STAGES[1:]
NEW_EVENTS = 200
WINDOWS = 5
CYCLE = timedelta(minutes=90)


def main() -> int:
    """Run the benchmark with the given size; 1 when a model holds the slot for too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=1_000_000)
    parser.add_argument("--bound", type=float, default=5, help="seconds that a model may take")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-memory", default="4GB")
    parser.add_argument("--home", type=Path, help="where the life is built, and found again by the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="biomem-bench-") as scratch:
        settings = load_settings(options.home or Path(scratch))
        settings = replace(settings, threads=options.threads, max_memory=options.max_memory)
        if not settings.warehouse_path.exists():
            generate(settings, options.memories, options.memories * EVENTS_PER_MEMORY)
            rebuild(settings, options.memories * EVENTS_PER_MEMORY)
        with open_warehouse(settings, read_only=True) as con:
            row = con.execute("select max(batch_id) from raw.pulls").fetchone()
        assert row is not None
        for cycle in range(2):
            took = _cycle(settings, options.memories, first_batch=int(row[0]) + 1 + cycle * WINDOWS)
    for name, held in sorted(took.items(), key=lambda each: -max(each[1])):
        print(f"{name:50}{max(held):8.2f} s at most,{len(held):4} times,{sum(held):8.2f} s in all")
    longest = max(max(held) for held in took.values())
    print(f"{'longest':50}{longest:8.2f} s   bound {options.bound:g}")
    return int(longest > options.bound)


def _cycle(settings: Settings, memories: int, *, first_batch: int) -> dict[str, list[float]]:
    """Live for a sleep cycle; for how many seconds each model of the sleep at its end had the warehouse each time."""
    # batches grow from cycle to cycle, and from one run on the same home to the next
    waking = START + timedelta(days=DAYS) + CYCLE * (first_batch // WINDOWS)
    for window in range(WINDOWS):
        at = waking + timedelta(seconds=30 * window)
        remember(settings, memories, NEW_EVENTS, batch=first_batch + window, at=at)
        run(settings, AWAKE, at)
    took = {}
    models = lineage(settings)
    order = list(TopologicalSorter({name: model.parents for name, model in models.items()}).static_order())
    for stage in SLEEP:
        run_id = f"bench-{stage}-{first_batch}"
        with open_warehouse(settings) as con:
            begin_stage(con, stage, run_id=run_id, as_of=waking + CYCLE, params_hash="bench")
        for name in (name for name in order if models[name].stage == stage):
            took[f"{stage}: {name}"] = _run(settings, stage, name, memories=models[name].memories_at_once)
        tests = ("--select", f"tag:{stage}", "--exclude", "test_type:unit")
        began = time.perf_counter()
        run_models(settings, *tests, command="test")
        took[f"{stage}: all tests"] = [time.perf_counter() - began]
        with open_warehouse(settings) as con:
            complete_stage(con, stage, run_id)
    return took


def _run(settings: Settings, stage: str, model: str, *, memories: int | None) -> list[float]:
    """The seconds of each run of dbt that the model's task makes."""
    held = []
    is_done = False
    while not is_done:
        began = time.perf_counter()
        if memories:
            with open_warehouse(settings) as con:
                begin_slice(con, stage, model, memories=memories)
        run_models(settings, "--select", model)
        is_done = True
        if memories:
            with open_warehouse(settings) as con:
                is_done = end_slice(con, model)
        held.append(time.perf_counter() - began)
        print(f"  {model:40}{held[-1]:10.2f} s", file=sys.stderr)
    return held


if __name__ == "__main__":
    sys.exit(main())
