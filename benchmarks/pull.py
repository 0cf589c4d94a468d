"""What a backfill costs against the floor, how much memory it takes, and what an idle poll costs.

The floor is the least that moving the rows can cost: COPY (binary) whose bytes are thrown away, plus Arrow into a
DuckDB file. Each part runs in a process of its own, all in this run; CPU seconds are user + system of that process and
of the PostgreSQL server. Encoding (VADER on every new text) is no part of moving rows and is told apart: it is timed on
some of them.

    python benchmarks/pull.py --rows 1000000 5000000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import biomem.source.pull
import duckdb
import psutil
import psycopg
import pyarrow as pa
from biomem.demo.postgres import embedded
from biomem.settings import Settings, load_settings
from biomem.source.cursors import xid8_column
from biomem.source.mapping import SourceTable
from biomem.source.pull import pull_source
from biomem.source.reading import describe_source
from biomem.warehouse.connection import open_warehouse

CPU_LIMIT, MEMORY_LIMIT_GB, POLL_LIMITS_S = 1.3, 1.0, {"xid8_column": 0.05, "xmin_window": 1.2}
COLUMNS = "memory_id, agent_id, content, occurred_at, importance, tags"
SOURCES = {
    "xmin_window": SourceTable("bench", "public", "memories"),
    "xid8_column": SourceTable("bench", "public", "memories", cursor="xid8_column", cursor_column="row_xid"),
}


class Enough(Exception):
    """As many texts were scored as the figure needs."""


def main() -> None:
    """Measure each size; exit code 1 when a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--polls", type=int, default=15, help="idle polls; the median counts")
    parser.add_argument("--max-memory", default="1GB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scored", type=int, default=40_000, help="texts to time the encoding on")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help="where the scratch data goes; a temporary folder by default")
    options = parser.parse_args()
    if options.step:
        print(json.dumps(STEPS[options.step](options)))
        return
    missed = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory(prefix="biomem-bench-", dir=options.home) as home:
            missed += _measure(Path(home), rows, options)
    for line in missed:
        print(f"MISSED: {line}")
    sys.exit(bool(missed))


def _measure(home: Path, rows: int, options: argparse.Namespace) -> list[str]:
    with embedded(load_settings(home, {})) as server:
        _make_table(server.dsn(), rows)
        copy = _run("copy", home, options)
        backfill = _run("backfill", home, options)
        arrow = _run("arrow", home, options)
        encode = _run("encode", home, options)
        polls = {cursor: _run(f"poll_{cursor}", home, options) for cursor in POLL_LIMITS_S}
    floor = copy["cpu_s"] + arrow["cpu_s"]
    ratio = backfill["cpu_s"] / floor
    peak = backfill["peak_gb"]
    print(f"\n{rows:,} rows of {copy['characters']:.0f} characters, max_memory {options.max_memory}")
    _print("floor: COPY binary to nowhere", copy)
    _print("floor: Arrow into DuckDB", arrow)
    _print("backfill (reading; all it takes but encoding)", backfill)
    print(f"  {'CPU of the backfill over the floor':48}{ratio:8.2f} x (bound {CPU_LIMIT})")
    print(f"  {'peak memory of the backfill':48}{peak:8.2f} GB (bound {MEMORY_LIMIT_GB})")
    per_text = encode["cpu_s"] / encode["texts"]
    print(f"  {'encoding (VADER), apart':48}{per_text * 1e6:8.0f} us CPU a text; {per_text * rows:,.0f} s for all")
    missed = [f"{rows:,} rows: CPU {ratio:.2f} x the floor"] * (ratio > CPU_LIMIT)
    missed += [f"{rows:,} rows: {peak:.2f} GB"] * (peak > MEMORY_LIMIT_GB)
    for cursor, figures in polls.items():
        limit = POLL_LIMITS_S[cursor]
        print(
            f"  {f'idle poll, {cursor}':48}{figures['median_s'] * 1e3:8.0f} ms median, {figures['cpu_s'] * 1e3:.0f} ms "
            f"CPU (bound {limit * 1e3:.0f} ms at 5,000,000)"
        )
        missed += [f"{rows:,} rows: poll by {cursor} {figures['median_s']:.3f} s"] * (figures["median_s"] > limit)
    print(f"  {'comparing all keys as well':48}{polls['xmin_window']['reconcile_s'] * 1e3:8.0f} ms", flush=True)
    return missed


def _make_table(dsn: str, rows: int) -> None:
    words = "the rain fell on old town while anna and ben talked about work tea music home letters that never came"
    with psycopg.connect(dsn, autocommit=True) as pg:
        pg.execute(
            "create table memories (memory_id uuid primary key, agent_id text not null, content text not null, "
            "occurred_at timestamptz not null, importance real, tags text[]) with (autovacuum_enabled = false)"
        )
        pg.execute(
            f"""
            insert into memories
            select gen_random_uuid(), 'agent-' || n % 100,
                (
                    select string_agg((string_to_array('{words}', ' '))[1 + (hashint8(n * 64 + i) & 1023) % 20], ' ')
                    from generate_series(1, 58) as i
                ) || ' ' || md5(n::text),
                timestamptz '2025-01-01' + n * interval '10 seconds', (n % 10) / 10.0, '{{a,b}}'
            from generate_series(1, {rows}) as n
            """.encode()
        )
        pg.execute(xid8_column.ddl(SOURCES["xid8_column"]).split("-- outside")[0].encode())
        pg.execute("create index on memories (row_xid)")
        pg.execute("vacuum (analyze, freeze) memories")
        pg.execute("checkpoint")


def _run(step: str, home: Path, options: argparse.Namespace) -> dict[str, float]:
    """Run one step in a process of its own, and add the CPU that the server spent meanwhile."""
    server = psutil.Process(int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0]))
    before = _cpu_of(server)
    command = [sys.executable, __file__, "--step", step, "--home", str(home), "--max-memory", options.max_memory]
    command += ["--threads", str(options.threads), "--polls", str(options.polls), "--scored", str(options.scored)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout)
    if "polls" not in figures:
        figures["cpu_s"] += _cpu_of(server) - before
    return figures


def _cpu_of(server: psutil.Process) -> float:
    """User and system seconds of the server and its processes, those that have ended included."""
    times = server.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in server.children():
        # one that ends while it is asked counts with its parent
        with suppress(psutil.NoSuchProcess):
            spent = child.cpu_times()
            total += spent.user + spent.system
    return total


@contextmanager
def _spent(figures: dict[str, float]):
    began, cpu = time.perf_counter(), sum(os.times()[:2])
    yield
    figures["wall_s"] = time.perf_counter() - began
    figures["cpu_s"] = sum(os.times()[:2]) - cpu
    figures["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _settings(options: argparse.Namespace) -> Settings:
    return replace(load_settings(options.home), threads=options.threads, max_memory=options.max_memory)


def _dsn(options: argparse.Namespace) -> str:
    return psycopg.conninfo.make_conninfo(host=str(options.home / "postgres" / "run"), user="biomem", dbname="biomem")


def _copy(options: argparse.Namespace) -> dict[str, float]:
    figures: dict[str, float] = {}
    with psycopg.connect(_dsn(options)) as pg:
        row = pg.execute("select avg(length(content)) from (select content from memories limit 1000) as few").fetchone()
        assert row is not None
        copy = f"copy (select {COLUMNS} from memories) to stdout (format binary)".encode()
        with _spent(figures), pg.cursor() as cursor, cursor.copy(copy) as portions:
            for _ in portions:
                pass
    return {**figures, "characters": float(row[0])}


def _arrow(options: argparse.Namespace) -> dict[str, float]:
    """What the backfill has put down, from an Arrow file into a fresh table of the same shape."""
    figures: dict[str, float] = {}
    path = options.home / "rows.arrow"
    with open_warehouse(_settings(options), read_only=True) as con:
        reader = con.execute(f"select {COLUMNS} from raw.memories").to_arrow_reader(100_000)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
    with pa.memory_map(str(path)) as source, duckdb.connect(str(options.home / "floor.duckdb")) as con:
        file = pa.ipc.open_file(source)
        batches = (file.get_batch(number) for number in range(file.num_record_batches))
        con.register("rows", pa.RecordBatchReader.from_batches(file.schema, batches))
        con.execute(f"set max_memory = '{options.max_memory}'")
        con.execute(f"set threads = {options.threads}")
        with _spent(figures):
            con.execute("create table memories as from rows")
            con.execute("checkpoint")
    path.unlink()
    (options.home / "floor.duckdb").unlink()
    return figures


def _backfill(options: argparse.Namespace) -> dict[str, float]:
    figures: dict[str, float] = {}

    def stop_before_encoding(*_, **__):
        raise Enough

    biomem.source.pull.encode_waiting = stop_before_encoding
    with _spent(figures), suppress(Enough), open_warehouse(_settings(options)) as con:
        pull_source(con, SOURCES["xid8_column"], dsn=_dsn(options), report=lambda _: None)
    return figures


def _encode(options: argparse.Namespace) -> dict[str, float]:
    figures: dict[str, float] = {}
    texts = 0

    def stop(progress):
        nonlocal texts
        texts = progress.done
        if texts >= options.scored:
            raise Enough

    with open_warehouse(_settings(options)) as con:
        with _spent(figures), suppress(Enough):
            pull_source(con, SOURCES["xid8_column"], dsn=_dsn(options), report=stop)
        # the rest as if it had been scored, for the polls
        con.execute("update raw.memories set text_arousal = 0, batch_id = 1 where text_arousal is null")
    return {**figures, "texts": texts}


def _poll(options: argparse.Namespace, cursor: str) -> dict[str, float]:
    took, cpu = [], []
    source, dsn = replace(SOURCES[cursor], reconcile_every=10**9), _dsn(options)
    with open_warehouse(_settings(options)) as con:
        # the mark of the other cursor, so that the table is not read anew
        con.execute(
            "update raw.watermarks set system_identifier = ?, position = case when ? then position else horizon end",
            [describe_source(source, dsn).identity, cursor == "xid8_column"],
        )
        for _ in range(options.polls):
            figures: dict[str, float] = {}
            with _spent(figures):
                result = pull_source(con, source, dsn=dsn)
            assert not result.is_full, result.describe()
            took.append(figures["wall_s"])
            cpu.append(figures["cpu_s"])
        with _spent(figures):
            assert pull_source(con, source, dsn=dsn, reconcile=True).is_reconciled
    median = statistics.median
    return {"polls": len(took), "median_s": median(took), "cpu_s": median(cpu), "reconcile_s": figures["wall_s"]}


STEPS = {
    "copy": _copy,
    "arrow": _arrow,
    "backfill": _backfill,
    "encode": _encode,
    "poll_xid8_column": lambda options: _poll(options, "xid8_column"),
    "poll_xmin_window": lambda options: _poll(options, "xmin_window"),
}


def _print(what: str, figures: dict[str, float]) -> None:
    print(f"  {what:48}{figures['cpu_s']:8.2f} s CPU, {figures['wall_s']:.2f} s wall")


if __name__ == "__main__":
    main()
