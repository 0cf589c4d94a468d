"""How fast everything is rebuilt from the log.

Writes synthetic raw rows straight into a scratch warehouse (no PostgreSQL: this times the models), then runs each stage
once, in a warehouse that stays open, as `biomem rebuild` does. Prints seconds per model, seconds and CPU seconds in
all, events per second and the peak memory of this process. On a machine that others share, half the CPU seconds are
what two idle cores need at least.

    python benchmarks/rebuild.py --memories 1000000 --events 5000000
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from biomem.settings import Settings, load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import STAGES
from biomem.warehouse.rebuild import run_stage
from biomem.warehouse.transform import model_names

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
DAYS = 360
MEMORIES_PER_AGENT = 1000
MEMORIES_PER_SESSION = 10


def main() -> None:
    """Run the benchmark with the given sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=5_000_000, help="encodings and accesses together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-memory", default="4GB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="biomem-bench-") as home:
        settings = replace(load_settings(Path(home)), threads=options.threads, max_memory=options.max_memory)
        began = time.perf_counter()
        model_names(settings)
        _print("parse the project once", time.perf_counter() - began)
        generate(settings, options.memories, options.events)
        rebuild(settings, options.events)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{'peak memory of the process':42}{peak:10.2f} GB")


def generate(settings: Settings, memories: int, events: int, *, per_agent: int = MEMORIES_PER_AGENT) -> None:
    """A year of raw rows: sessions of ten memories 40 s apart; accesses mostly soon after, some much later."""
    with open_warehouse(settings) as con:
        con.execute(
            """
            insert into raw.memories (source_name, memory_id, agent_id, session_id, speaker, content, occurred_at, tags,
                text_arousal, batch_id)
            select
                'bench', 'memory-' || i, 'agent-' || (i // $per_agent), 'session-' || (i // $per_session), 'someone',
                'Note ' || i || ' about ' || ['tea', 'rain', 'work', 'home', 'music'][1 + i % 5] || ' with '
                    || ['Anna', 'Ben', 'Clara', 'Dora', 'Emil', 'Fay'][1 + (hash(i) % 6)::integer],
                timestamptz '2025-01-01 00:00:00+00'
                    + to_microseconds((hash(i // $per_session) % ($days * 86400))::bigint * 1000000)
                    + to_seconds(40 * (i % $per_session)),
                [], (hash(i + 7) % 100) / 200, 1
            from range($memories) as numbers (i)
            """,
            {
                "memories": memories,
                "per_agent": per_agent,
                "per_session": MEMORIES_PER_SESSION,
                "days": DAYS - 60,
            },
        )
        con.execute(
            """
            insert into raw.access_log
            select
                'access-' || n, memory_id, agent_id,
                occurred_at + to_microseconds((pow(hash(n) % 1000003 / 1000003, 4) * 60 * 86400e6)::bigint),
                'retrieve', 2 + (hash(n + 3) % 3)::integer, 1
            from range($accesses) as numbers (n)
            inner join raw.memories as memories on memories.memory_id = 'memory-' || (hash(n + 1) % $memories)
            """,
            {"accesses": events - memories, "memories": memories},
        )
        con.execute("insert into raw.agents select distinct agent_id from raw.memories")
        con.execute("insert into raw.pulls values (1, 'bench', 'bench', null, null, '1', 0, 0, 0, 0)")


def rebuild(settings: Settings, events: int) -> None:
    """Build every model, each stage once."""
    began, cpu_began = time.perf_counter(), time.process_time()
    with open_warehouse(settings, is_long=True):
        for stage in STAGES:
            run(settings, stage, START + timedelta(days=DAYS), is_whole=True)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    print(f"{'full rebuild, every model':42}{seconds:10.2f} s   {cpu:10.2f} CPU s   {events / seconds:12,.0f} events/s")


class Took(NamedTuple):
    """What a run of a stage cost: seconds and CPU seconds in all, and seconds of each model."""

    seconds: float
    cpu_seconds: float
    models: dict[str, float]


def run(settings: Settings, stage: str, as_of: datetime, *, is_whole: bool = False) -> Took:
    """Run a stage as `biomem rebuild` does: as its DAG, but for its tests."""
    began, cpu_began = time.perf_counter(), time.process_time()
    models = run_stage(settings, stage, as_of, f"bench-{stage}-{as_of.isoformat()}", is_whole=is_whole)
    took = Took(time.perf_counter() - began, time.process_time() - cpu_began, models)
    _print(stage, took.seconds)
    for model, spent in models.items():
        _print(f"  {model}", spent)
    return took


def _print(what: str, seconds: float) -> None:
    print(f"{what:42}{seconds:10.2f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
