"""How fast memory.recall answers over many agents at once, on the embedded PostgreSQL.

Fills schema `memory` by COPY (the index tables fill by their own triggers), then lets pgbench ask: first with every
client asking as soon as it was answered, then at a stated rate. Prints latencies, throughput and CPU per question.

    python benchmarks/recall.py --memories 1000000 --agents 1000 --clients 16
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
from biomem.demo.postgres import _binaries, embedded
from biomem.settings import load_settings
from biomem.warehouse.target_schema import ensure_target_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
COLUMNS = (
    *("memory_id", "agent_id", "session_id", "speaker", "content", "occurred_at", "state", "stability_days"),
    *("last_accessed_at", "is_long_term", "run_id", "params_hash", "as_of"),
)
ASSOCIATION_COLUMNS = (
    *("agent_id", "memory_a", "memory_b", "trace", "last_coactive_at", "coactivations", "is_pruned"),
    *("run_id", "params_hash", "as_of"),
)
SESSION = 20
VOCABULARY = 30_000
AGENTS_AT_ONCE = 50
QUESTIONS_PER_AGENT = 4
COMMON = [
    *("i", "you", "we", "they", "the", "a", "an", "and", "or", "to", "of", "in", "on", "with", "was"),
    *("is", "are", "were", "have", "had", "it", "that", "this", "so", "my", "our"),
]
ASK = (
    "select count(*) from bench.questions as q cross join lateral "
    "memory.recall(q.question, q.agent_id, 10, {vector}, null, 'cued', {log}) where q.n = :n;"
)


def main() -> None:
    """Run the benchmark with the given sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=1_000_000)
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--rates", type=float, nargs="*", default=[100.0, 200.0], help="open loop: questions a second")
    parser.add_argument("--dimensions", type=int, default=0, help="of vectors, 0 for none")
    parser.add_argument("--log", action="store_true", help="write the access log, as recall does by default")
    parser.add_argument("--home", type=Path, help="keep the data there and use it again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="biomem-bench-") as scratch:
        settings = load_settings(options.home or Path(scratch), {})
        with embedded(settings) as server:
            dsn = server.dsn("bench")
            _fill(dsn, options)
            results = [_ask(dsn, settings.postgres_dir, options, None)]
            results += [_ask(dsn, settings.postgres_dir, options, rate) for rate in options.rates]
    for result in results:
        print(json.dumps(result))


def _fill(dsn: str, options: argparse.Namespace) -> None:
    ensure_target_schema(dsn)
    with psycopg.connect(dsn, autocommit=True) as pg:
        if pg.execute("select to_regclass('bench.questions')").fetchone() != (None,):
            return
        began = time.perf_counter()
        pg.execute("set work_mem = '256MB'")
        pg.execute("create schema bench")
        pg.execute(
            "create table bench.questions (n integer generated always as identity primary key, agent_id text, "
            "question text, embedding real[])"
        )
        if options.dimensions:
            pg.execute("insert into memory.embedding_models values ('bench', %s, true)", [options.dimensions])
        per_agent = options.memories // options.agents
        for first in range(0, options.agents, AGENTS_AT_ONCE):
            agents = range(first, min(first + AGENTS_AT_ONCE, options.agents))
            with pg.transaction():
                _copy(pg, "memory.memories", COLUMNS, (row for agent in agents for row in _memories(agent, per_agent)))
                _copy(
                    pg,
                    "memory.associations",
                    ASSOCIATION_COLUMNS,
                    (row for agent in agents for row in _associations(agent, per_agent)),
                )
                _copy(
                    pg,
                    "bench.questions",
                    ("agent_id", "question", "embedding"),
                    (row for agent in agents for row in _questions(agent, per_agent, options.dimensions)),
                )
                if options.dimensions:
                    numbers = pg.execute(
                        "select agent_id, document from memory.recall_documents where agent_id = any(%s)",
                        [[f"agent-{agent}" for agent in agents]],
                    ).fetchall()
                    rng = random.Random(first)
                    _copy(
                        pg,
                        "memory.recall_vectors",
                        ("agent_id", "model", "document", "embedding"),
                        ((agent, "bench", number, _vector(rng, options.dimensions)) for agent, number in numbers),
                    )
        pg.execute("vacuum analyze")
        print(f"filled in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        for name in ("memories", "recall_documents", "recall_postings", "recall_vectors"):
            size = pg.execute("select pg_size_pretty(pg_total_relation_size(%s::regclass))", [f"memory.{name}"])
            print(f"memory.{name} {size.fetchone()}", file=sys.stderr)


def _copy(pg: psycopg.Connection[Any], table: str, columns: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> None:
    with pg.cursor().copy(f"copy {table} ({', '.join(columns)}) from stdin") as copy:
        for row in rows:
            copy.write_row(row)


def _words() -> tuple[list[str], list[float]]:
    """Made-up words, the n-th as frequent as one over n: what words do (Zipf)."""
    rng = random.Random(1)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "ar", "en", "il", "os")]
    words = list(dict.fromkeys("".join(rng.choices(syllables, k=rng.choice((2, 2, 3)))) for _ in range(2 * VOCABULARY)))
    words = words[:VOCABULARY]
    return words, list(accumulate(1 / (rank + 3) for rank in range(len(words))))


WORDS, WEIGHTS = _words()


def _memories(agent: int, count: int) -> Iterator[tuple[Any, ...]]:
    rng = random.Random(agent)
    for number in range(count):
        words = rng.choices(WORDS, cum_weights=WEIGHTS, k=rng.randint(6, 18)) + rng.choices(COMMON, k=8)
        rng.shuffle(words)
        at = START + timedelta(hours=8 * (number // SESSION), seconds=30 * (number % SESSION))
        state = "forgotten" if rng.random() < 0.2 else "live"
        speaker = ("Mara", "Ben")[number % 2]
        yield (
            *(f"{agent}-{number}", f"agent-{agent}", f"s{number // SESSION}", speaker, " ".join(words), at, state),
            *(rng.uniform(0.2, 30), at, False, "bench", "bench", START),
        )


def _associations(agent: int, count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(count):
        for other in (number + 1, number + 2):
            if other < count and other // SESSION == number // SESSION:
                a, b = sorted((f"{agent}-{number}", f"{agent}-{other}"))
                yield (f"agent-{agent}", a, b, 0.1, START, 1, False, "bench", "bench", START)


def _questions(agent: int, count: int, dimensions: int) -> Iterator[tuple[Any, ...]]:
    rng = random.Random(-agent - 1)
    rows = list(_memories(agent, count))
    for _ in range(QUESTIONS_PER_AGENT):
        content = [word for word in rng.choice(rows)[4].split() if word not in COMMON]
        words = rng.sample(content, min(4, len(content)))
        vector = _vector(rng, dimensions) if dimensions else None
        yield (f"agent-{agent}", f"What did {rng.choice(('Mara', 'they'))} say about the {' '.join(words)}?", vector)


def _vector(rng: random.Random, dimensions: int) -> list[float]:
    values = [rng.gauss(0, 1) for _ in range(dimensions)]
    length = sum(value * value for value in values) ** 0.5
    return [round(value / length, 5) for value in values]


def _ask(dsn: str, folder: Path, options: argparse.Namespace, rate: float | None) -> dict[str, Any]:
    with psycopg.connect(dsn) as pg:
        row = pg.execute("select max(n) from bench.questions").fetchone()
    assert row is not None
    with tempfile.TemporaryDirectory(prefix="biomem-pgbench-") as scratch:
        script = Path(scratch, "ask.sql")
        ask = ASK.format(vector="q.embedding" if options.dimensions else "null", log=str(options.log).lower())
        script.write_text(f"\\set n random(1, {row[0]})\n{ask}\n")
        command = [
            *(_binaries() / "pgbench", dsn, "-n", "-M", "prepared", "-c", str(options.clients), "-j", "2"),
            *("-T", str(options.seconds), "-f", script, "-l", "--log-prefix", str(Path(scratch, "log"))),
            *([] if rate is None else ["-R", str(rate)]),
        ]
        _wait_for_backends(folder)
        before = _cpu_seconds(folder)
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        _wait_for_backends(folder)
        spent = _cpu_seconds(folder) - before
        taken = sorted(
            int(line.split()[2]) / 1000 for log in Path(scratch).glob("log*") for line in log.read_text().splitlines()
        )
    tps = re.search(r"tps = ([\d.]+)", output)
    assert tps is not None
    return {
        "clients": options.clients,
        "loop": "closed" if rate is None else f"open, {rate:g}/s",
        "vectors": options.dimensions,
        "questions": len(taken),
        "per_second": round(float(tps[1]), 1),
        "p50_ms": round(taken[len(taken) // 2], 2),
        "p99_ms": round(taken[int(len(taken) * 0.99)], 2),
        "max_ms": round(taken[-1], 2),
        "server_cpu_ms_per_question": round(1000 * spent / len(taken), 3),
    }


def _wait_for_backends(folder: Path) -> None:
    """A backend's CPU time is its parent's to tell once the parent has seen its end; until then nobody tells it."""
    server = _server(folder)
    while any(_is_backend(child) for child in server.children()):
        time.sleep(0.05)


def _is_backend(child: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return child.status() == psutil.STATUS_ZOMBIE or " bench " in " ".join(child.cmdline())
    return False


def _server(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0]))


def _cpu_seconds(folder: Path) -> float:
    """CPU time, user and system, of the server at `folder` and of its children, those that have ended included."""
    server = _server(folder)
    own = server.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in server.children():
        # one that ends meanwhile is among the ended
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return float(total)


if __name__ == "__main__":
    main()
