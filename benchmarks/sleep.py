"""How long sleep holds the one slot, the longest model of each stage, on top of a large memory.

Builds a life, then lives two sleep cycles more: windows of new events, and after them consolidation, night and week as
their DAGs run them, incrementally. Prints the seconds of every model of the second time, and of each stage's tests:
that long its task has the warehouse before a window can have it. Fails when one of them takes longer than `--bound`.

    python benchmarks/sleep.py --memories 1000000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import AWAKE, STAGES
from biomem.warehouse.transform import run_models
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
    for name, spent in sorted(took.items(), key=lambda each: -each[1]):
        print(f"{name:60}{spent:10.2f} s")
    longest = max(took.values())
    print(f"{'longest':60}{longest:10.2f} s   bound {options.bound:g}")
    return int(longest > options.bound)


def _cycle(settings: Settings, memories: int, *, first_batch: int) -> dict[str, float]:
    """Live for a sleep cycle; the seconds of each model of the sleep at its end."""
    # batches grow from cycle to cycle, and from one run on the same home to the next
    waking = START + timedelta(days=DAYS) + CYCLE * (first_batch // WINDOWS)
    for window in range(WINDOWS):
        at = waking + timedelta(seconds=30 * window)
        remember(settings, memories, NEW_EVENTS, batch=first_batch + window, at=at)
        run(settings, AWAKE, at)
    took = {}
    for stage in SLEEP:
        for model, spent in run(settings, stage, waking + CYCLE).models.items():
            took[f"{stage}: {model}"] = spent
        tests = run_models(settings, "--select", f"tag:{stage}", "--exclude", "test_type:unit", command="test")
        took[f"{stage}: all tests"] = sum(tests.values())
    return took


if __name__ == "__main__":
    sys.exit(main())
