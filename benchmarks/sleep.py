"""How long sleep holds a slot at a time, on top of a large memory.

Computes a life's windows and publishes them to a PostgreSQL of its own, then lives two sleep cycles: windows of new
events, and after them consolidation, night and week as their DAGs run them, model by model, in slices of agents; the
first time everything, later what is new. Prints of every model of the first and the last time, of its data tests and
of the stage's publication how often its task has the warehouse, for how long at most and in all. Of a model that is
the wall time of a whole run of dbt, of which a task needs the warehouse for a part. Fails when one takes longer than
`--bound`. CPU seconds of this process are given besides: they hold on a machine that others share.

    python benchmarks/sleep.py --memories 1000000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

from biomem.demo.postgres import embedded
from biomem.settings import load_settings
from biomem.warehouse import ahead
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import AWAKE, STAGES, begin_stage, complete_stage
from biomem.warehouse.publish import publish_stage
from biomem.warehouse.slices import begin_slice, end_slice
from biomem.warehouse.transform import lineage, run_models
from rebuild import DAYS, MEMORIES_PER_AGENT, START, generate, run
from window import EVENTS_PER_MEMORY, remember

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb
    from biomem.settings import Settings

SLEEP = STAGES[1:]
NEW_EVENTS = 200
WINDOWS = 5
CYCLES = 2
CYCLE = timedelta(minutes=90)


def main() -> int:
    """Run the benchmark with the given size; 1 when a task holds the slot for too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=1_000_000)
    parser.add_argument("--memories-per-agent", type=int, default=MEMORIES_PER_AGENT)
    parser.add_argument("--bound", type=float, default=5, help="seconds that a task may have the warehouse")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-memory", default="4GB")
    parser.add_argument("--home", type=Path, help="where the life is built, and found again by the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="biomem-bench-") as scratch:
        settings = load_settings(options.home or Path(scratch))
        settings = replace(settings, threads=options.threads, max_memory=options.max_memory)
        if not settings.warehouse_path.exists():
            generate(
                settings,
                options.memories,
                options.memories * EVENTS_PER_MEMORY,
                per_agent=options.memories_per_agent,
            )
            run(settings, AWAKE, START + timedelta(days=DAYS))
        with open_warehouse(settings, read_only=True) as con:
            row = con.execute("select max(batch_id) from raw.pulls").fetchone()
        assert row is not None
        with embedded(settings) as server:
            dsn = server.dsn()
            _publish(settings, AWAKE, dsn)
            cycles = [
                _cycle(settings, dsn, options.memories, first_batch=int(row[0]) + 1 + cycle * WINDOWS)
                for cycle in range(CYCLES)
            ]
    took = {f"first {name}": held for name, held in cycles[0].items()}
    took |= {f"last {name}": held for name, held in cycles[-1].items()}
    for name, held in sorted(took.items(), key=lambda each: -max(each[1]).seconds):
        most = f"{max(held).seconds:8.2f} s and {max(once.cpu_seconds for once in held):6.2f} CPU s at most"
        print(f"{name:56}{most},{len(held):4} times,{sum(once.seconds for once in held):8.2f} s in all")
    longest = max(max(held) for held in took.values())
    print(f"{'longest':56}{longest.seconds:8.2f} s   bound {options.bound:g}")
    return int(longest.seconds > options.bound)


class Held(NamedTuple):
    """What one run of dbt, or one publication, took."""

    seconds: float
    cpu_seconds: float


def _cycle(settings: Settings, dsn: str, memories: int, *, first_batch: int) -> dict[str, list[Held]]:
    """Live for a sleep cycle; for how many seconds each task of the sleep at its end had the warehouse each time."""
    # batches grow from cycle to cycle, and from one run on the same home to the next
    waking = START + timedelta(days=DAYS) + CYCLE * (first_batch // WINDOWS)
    for window in range(WINDOWS):
        at = waking + timedelta(seconds=30 * window)
        remember(settings, memories, NEW_EVENTS, batch=first_batch + window, at=at)
        run(settings, AWAKE, at)
        _publish(settings, AWAKE, dsn)
    took = {}
    models = lineage(settings)
    order = list(TopologicalSorter({name: model.parents for name, model in models.items()}).static_order())
    for stage in SLEEP:
        run_id = f"bench-{stage}-{first_batch}"
        with open_warehouse(settings) as con:
            begin_stage(con, stage, run_id=run_id, as_of=waking + CYCLE, params_hash="bench")
        own = [name for name in order if models[name].stage == stage]
        for name in own:
            took[f"{stage}: {name}"] = _run(settings, stage, name, memories=models[name].memories_at_once)
        for name in own:
            took[f"{stage}: tests of {name}"] = [_timed(lambda name=name: _test(settings, name))]
        took[f"{stage}: publish"] = _publish(settings, stage, dsn)
        with open_warehouse(settings) as con:
            complete_stage(con, stage, run_id)
    return took


def _run(settings: Settings, stage: str, model: str, *, memories: int | None) -> list[Held]:
    """Each run of dbt that the model's task makes."""
    held = []
    is_done = False

    def compute() -> None:
        nonlocal is_done
        if memories:
            with open_warehouse(settings) as con:
                begin_slice(con, stage, model, memories=memories)
        run_models(settings, "--select", model)
        with open_warehouse(settings) as con:
            is_done = memories is None or end_slice(con, model)

    while not is_done:
        held.append(_timed(compute))
        print(f"  {model:40}{held[-1].seconds:10.2f} s   {held[-1].cpu_seconds:10.2f} CPU s", file=sys.stderr)
    return held


def _publish(settings: Settings, stage: str, dsn: str) -> list[Held]:
    """Publish the run that the stage is in, as the last task of its DAG does; each time that it has the warehouse."""
    held = []

    @contextmanager
    def open_and_time(*args: Any, **options: Any) -> Iterator[duckdb.DuckDBPyConnection]:
        began, cpu_began = time.perf_counter(), time.process_time()
        with open_warehouse(*args, **options) as con:
            yield con
        held.append(Held(time.perf_counter() - began, time.process_time() - cpu_began))

    with open_warehouse(settings) as con:
        ((run_id,),) = con.execute("select run_id from raw.run_context where stage = ?", [stage]).fetchall()
    with patch.object(ahead, "open_warehouse", open_and_time):
        compared = ahead.compare_ahead(settings, stage, dsn=dsn, run_id=run_id)
    with open_and_time(settings) as con:
        print(f"  {publish_stage(con, stage, dsn=dsn, run_id=run_id, ahead=compared).describe()}", file=sys.stderr)
    most = max(held)
    print(
        f"  {f'publish {stage}, {len(held)} times':40}{most.seconds:10.2f} s   {most.cpu_seconds:10.2f} CPU s at most",
        file=sys.stderr,
    )
    return held


def _test(settings: Settings, model: str) -> None:
    run_models(settings, "--select", model, "--exclude", "test_type:unit", command="test")


def _timed(work: Callable[[], None]) -> Held:
    began, cpu_began = time.perf_counter(), time.process_time()
    work()
    return Held(time.perf_counter() - began, time.process_time() - cpu_began)


if __name__ == "__main__":
    sys.exit(main())
