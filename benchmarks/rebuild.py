"""How fast everything is rebuilt from the log, and what one window of new events costs on top of it.

Writes synthetic raw rows straight into a scratch warehouse (no PostgreSQL: this times the models), then runs the stages
as the DAGs do. Prints seconds per stage, events per second and the peak memory of this process.

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

from biomem.settings import Settings, load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import STAGES, begin_stage, complete_stage
from biomem.warehouse.transform import model_names, run_models

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
DAYS = 360
MEMORIES_PER_AGENT = 1000
MEMORIES_PER_SESSION = 10


def main() -> None:
    """Run the benchmark with the given sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=5_000_000, help="encodings and accesses together")
    parser.add_argument("--new-events", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=3, help="incremental windows to time; the median counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-memory", default="4GB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="biomem-bench-") as home:
        settings = replace(load_settings(Path(home)), threads=options.threads, max_memory=options.max_memory)
        began = time.perf_counter()
        model_names(settings)
        _print("parse the project once", time.perf_counter() - began)
        _generate(settings, options.memories, options.events)
        _rebuild(settings, options.events)
        _windows(settings, options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{'peak memory of the process':42}{peak:10.2f} GB")


def _generate(settings: Settings, memories: int, events: int) -> None:
    """Sessions of ten memories 40 s apart, spread over the year; accesses mostly soon after, some much later."""
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
                "per_agent": MEMORIES_PER_AGENT,
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


def _rebuild(settings: Settings, events: int) -> None:
    began = time.perf_counter()
    for stage in STAGES:
        _run(settings, stage, START + timedelta(days=DAYS), "--full-refresh")
    seconds = time.perf_counter() - began
    print(f"{'full rebuild, every model':42}{seconds:10.2f} s   {events / seconds:12,.0f} events/s")


def _windows(settings: Settings, options: argparse.Namespace) -> None:
    """A first window takes up the sleep's replays; the following ones are what a 30-second run costs."""
    took = []
    for number in range(options.windows + 1):
        at = START + timedelta(days=DAYS, seconds=30 * (number + 1))
        with open_warehouse(settings) as con:
            con.execute(
                """
                insert into raw.access_log
                select 'new-' || $batch || '-' || n, 'memory-' || (hash(n + $batch) % $memories),
                    'agent', $at::timestamptz - to_milliseconds(20 * n), 'retrieve', 3, $batch
                from range($new) as numbers (n)
                """,
                {"batch": number + 2, "memories": options.memories, "at": at, "new": options.new_events},
            )
            con.execute("insert into raw.pulls values (?, 'bench', 'b', null, null, '1', 0, 0, 0, 0)", [number + 2])
        took.append(_run(settings, "short_term_memory", at))
    print(f"{'first window (takes up the replays)':42}{took[0]:10.2f} s")
    print(f"{f'a window of {options.new_events} new events, median':42}{sorted(took[1:])[len(took[1:]) // 2]:10.2f} s")


def _run(settings: Settings, stage: str, as_of: datetime, *arguments: str) -> float:
    began = time.perf_counter()
    run_id = f"bench-{stage}-{as_of.isoformat()}"
    with open_warehouse(settings) as con:
        begin_stage(con, stage, run_id=run_id, as_of=as_of, params_hash="bench")
    seconds = run_models(settings, "--select", f"tag:{stage}", *arguments)
    with open_warehouse(settings) as con:
        complete_stage(con, stage, run_id)
    took = time.perf_counter() - began
    _print(stage, took)
    for model, spent in seconds.items():
        _print(f"  {model}", spent)
    return took


def _print(what: str, seconds: float) -> None:
    print(f"{what:42}{seconds:10.2f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
