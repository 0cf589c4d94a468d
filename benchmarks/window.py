"""Whether a window of new events costs the same however much is remembered already.

Builds two lives, one ten times the other, then lets the short-term stage take up windows of new events on top of
each, every model of it, as its DAG runs them. Prints both medians and their ratio; fails when it is above `--bound`.
CPU seconds are compared besides: they hold on a machine that others share.

    python benchmarks/window.py --memories 1000000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from rebuild import DAYS, START, generate, rebuild, run

if TYPE_CHECKING:
    from datetime import datetime

    from biomem.settings import Settings

EVENTS_PER_MEMORY = 5


def main() -> int:
    """Run the benchmark with the given sizes; 1 when a window's cost grows with the total."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=1_000_000, help="of the larger life; the other has a tenth")
    parser.add_argument("--new-events", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=5, help="windows to time; the median counts")
    parser.add_argument("--bound", type=float, default=1.3, help="allowed ratio of the two medians")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-memory", default="4GB")
    options = parser.parse_args()
    seconds, cpu = zip(
        *(_cost(memories, options) for memories in (options.memories // 10, options.memories)), strict=True
    )
    ratio = seconds[1] / seconds[0]
    print(f"{'ratio':42}{ratio:10.2f}     {cpu[1] / cpu[0]:10.2f} in CPU s   bound {options.bound}")
    return int(ratio > options.bound)


def _cost(memories: int, options: argparse.Namespace) -> tuple[float, float]:
    """Median seconds and CPU seconds of a window on top of so many memories."""
    with tempfile.TemporaryDirectory(prefix="biomem-bench-") as home:
        settings = replace(load_settings(Path(home)), threads=options.threads, max_memory=options.max_memory)
        generate(settings, memories, memories * EVENTS_PER_MEMORY)
        rebuild(settings, memories * EVENTS_PER_MEMORY)
        # the first window takes up what sleep has replayed
        took = [_window(settings, memories, options.new_events, number) for number in range(options.windows + 1)]
    seconds, cpu = (median(values) for values in zip(*took[1:], strict=True))
    what = f"{options.new_events} new events on {memories:,} memories"
    print(f"{what:42}{seconds:10.2f} s   {cpu:10.2f} CPU s   {options.new_events / seconds:12,.0f} events/s")
    return seconds, cpu


def _window(settings: Settings, memories: int, new_events: int, number: int) -> tuple[float, float]:
    at = START + timedelta(days=DAYS, seconds=30 * (number + 1))
    remember(settings, memories, new_events, batch=number + 2, at=at)
    return run(settings, "short_term_memory", at)[:2]


def remember(settings: Settings, memories: int, new_events: int, *, batch: int, at: datetime) -> None:
    """Write accesses of memories here and there, as a pull that ended at `at` does."""
    with open_warehouse(settings) as con:
        con.execute(
            """
            insert into raw.access_log
            select 'new-' || $batch || '-' || n, memory_id, agent_id,
                $at::timestamptz - to_milliseconds(20 * n), 'retrieve', 3, $batch
            from range($new) as numbers (n)
            inner join raw.memories as memories on memories.memory_id = 'memory-' || (hash(n + $batch) % $memories)
            """,
            {"batch": batch, "memories": memories, "at": at, "new": new_events},
        )
        con.execute("insert into raw.pulls values (?, 'bench', 'b', null, null, '1', 0, 0, 0, 0)", [batch])


if __name__ == "__main__":
    sys.exit(main())
