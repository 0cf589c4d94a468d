"""What recall finds, and what forgetting keeps, of the evidence that questions need.

Loads DATA/memories.jsonl through the real pipeline (source table, stages, published schema), asks DATA/questions.jsonl,
and prints and writes, per category and with bootstrap intervals, Recall@5/10/20, nDCG@10, MRR and all-gold@10, the
latency, and the budget test: how much of the gold evidence is still remembered after a nightly decay under a budget,
beside keeping as many at random, the newest, or the longest.

    make eval DATA=folder OUT=file.json
    python benchmarks/eval.py folder --out file.json --ablations --embeddings none

A memory: memory_id, content, and where there are any agent_id, session, speaker, occurred_at. A question: question,
gold (ids of the memories that answer it), and where there are any question_id, agent_id, category.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import yaml
from biomem.demo.data import end_of_life
from biomem.demo.load import load
from biomem.demo.postgres import Connections, connections
from biomem.errors import BiomemError, InputError
from biomem.parameters import load_parameters, params_hash
from biomem.recall.asking import Asker
from biomem.recall.embedding import embed_new
from biomem.settings import Settings, load_settings
from biomem.source.mapping import choose_source
from biomem.source.pull import pull_all
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import STAGES, begin_stage, complete_stage
from biomem.warehouse.publish import publish_stage
from biomem.warehouse.transform import run_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

FIRST = datetime(2024, 1, 1, tzinfo=timezone.utc)
DEPTH = 20
REACH = 200
BUDGETS = (0.5, 0.25)
RESAMPLES = 1000
SEED = 1
PARTS = ("around", "who", "when", "statement", "association", "retention")
METRICS = ("recall@5", "recall@10", "recall@20", "ndcg@10", "mrr", "all_gold@10")


@dataclass(frozen=True)
class Question:
    """A question with the ids that answer it."""

    agent_id: str
    category: str
    text: str
    gold: frozenset[str]


def main() -> None:
    """Evaluate one data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with memories.jsonl and questions.jsonl, plain or .gz")
    parser.add_argument("--out", type=Path, help="write the results there, as JSON")
    parser.add_argument("--embeddings", default="default", help="as BIOMEM_EMBEDDINGS: default, none, ...")
    parser.add_argument("--ablations", action="store_true", help="also rank without each part, one at a time")
    parser.add_argument("--no-budgets", action="store_true", help="leave the budget test out")
    parser.add_argument("--limit", type=int, help="only so many questions, evenly spread")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="biomem-eval-") as home:
            settings = replace(load_settings(Path(home), {}), embeddings=options.embeddings, threads=2)
            results = _evaluate(settings, options)
    except BiomemError as error:
        sys.exit(f"eval: {error}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _print(results)


def _evaluate(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    memories = _memories(options.data)
    questions, left_out = _questions(options.data, {memory["memory_id"] for memory in memories})
    if options.limit:
        questions = questions[:: max(1, len(questions) // options.limit)][: options.limit]
    with connections(settings) as there, _timed() as pipeline:
        as_of = _live(settings, there, memories)
        embedded = embed_new(settings, there.target_dsn, seconds=None)
        results: dict[str, Any] = {
            "data": str(options.data),
            "memories": len(memories),
            "questions": len(questions),
            "left_out": left_out,
            "as_of": as_of.isoformat(),
            "embeddings": vars(embedded),
            "pipeline_seconds": pipeline(),
        }
        found, latency = _ask(settings, there, questions, as_of, "cued")
        results["latency_ms"] = latency
        results["recall"] = _by_category(questions, [[one.memory_id for one in row] for row in found])
        if options.ablations:
            results["ablations"] = _ablations(settings, there, questions, as_of)
        if not options.no_budgets:
            results["budgets"] = [
                _budget(settings, there, questions, memories, as_of + timedelta(days=number + 1), share)
                for number, share in enumerate(BUDGETS)
            ]
    return results


def _memories(folder: Path) -> list[dict[str, Any]]:
    """The memories as the loader takes them; what has no time comes 30 s after the one before it."""
    rows, at = [], FIRST
    for number, row in enumerate(_lines(folder, "memories"), start=1):
        if row.get("memory_id") in (None, "") or row.get("content") is None:
            raise InputError(f"memory {number} of {folder} needs memory_id and content")
        session = row.get("session_id", row.get("session"))
        told = row.get("occurred_at")
        at = datetime.fromisoformat(str(told).replace("Z", "+00:00")) if told else at + timedelta(seconds=30)
        rows.append(
            {
                "memory_id": str(row["memory_id"]),
                "agent_id": str(row.get("agent_id") or "default"),
                "session": None if session is None else str(session),
                "speaker": row.get("speaker"),
                "content": str(row["content"]),
                "occurred_at": at.isoformat(),
            }
        )
    return rows


def _questions(folder: Path, known: set[str]) -> tuple[list[Question], dict[str, int]]:
    questions: list[Question] = []
    left_out = {"gold_ids_unknown": 0, "questions_without_gold": 0}
    for row in _lines(folder, "questions"):
        told = row.get("gold") or []
        gold = {str(memory_id) for memory_id in (told if isinstance(told, list) else [told])}
        left_out["gold_ids_unknown"] += len(gold - known)
        if not gold & known or not row.get("question"):
            left_out["questions_without_gold"] += 1
            continue
        questions.append(
            Question(
                str(row.get("agent_id") or "default"),
                str(row.get("category") or "all"),
                str(row["question"]),
                frozenset(gold & known),
            )
        )
    if not questions:
        raise InputError(f"no question of {folder} has a gold id that is among the memories")
    return questions, left_out


def _lines(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    path = next((path for path in (folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz") if path.is_file()), None)
    if path is None:
        raise InputError(f"{folder} holds no {name}.jsonl")
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: {error}") from None
            if not isinstance(row, dict):
                raise InputError(f"{path}, line {number}: not a JSON object")
            yield row


def _live(settings: Settings, there: Connections, memories: list[dict[str, Any]]) -> datetime:
    """Take the memories through the pipeline: source table, pull, every stage, published schema."""
    path = settings.home / "memories.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in memories), encoding="utf-8")
    with psycopg.connect(there.source_dsn, autocommit=True) as source:
        load(path, source, source, table=settings.source_table)
        as_of = end_of_life(source, settings.source_table, source)
    with open_warehouse(settings) as con:
        pull_all(
            con, choose_source(settings, None), source_dsn=there.source_dsn, target_dsn=there.target_dsn, as_of=as_of
        )
    for stage in (*STAGES, STAGES[0]):
        _run_stage(settings, there, stage, as_of)
    return as_of


def _run_stage(settings: Settings, there: Connections, stage: str, as_of: datetime) -> None:
    run_id = f"eval-{stage}-{as_of.isoformat()}-{params_hash(settings)[:8]}"
    with open_warehouse(settings) as con:
        begin_stage(con, stage, run_id=run_id, as_of=as_of, params_hash=params_hash(settings))
    run_models(settings, "--select", f"tag:{stage}")
    with open_warehouse(settings) as con:
        publish_stage(con, stage, dsn=there.target_dsn, run_id=run_id, parameters=load_parameters(settings))
        complete_stage(con, stage, run_id)


def _ask(
    settings: Settings,
    there: Connections,
    questions: Sequence[Question],
    as_of: datetime,
    forgotten: Any,
    k: int = DEPTH,
) -> tuple[list[list[Any]], dict[str, float]]:
    found, took = [], []
    with psycopg.connect(there.target_dsn, autocommit=True) as pg:
        asker = Asker(pg, settings)
        for question in questions:
            began = time.perf_counter()
            found.append(asker.recall(question.text, question.agent_id, k, as_of=as_of, forgotten=forgotten, log=False))
            took.append(1000 * (time.perf_counter() - began))
    took.sort()
    return found, {"p50": round(statistics.median(took), 2), "p99": round(took[int(0.99 * (len(took) - 1))], 2)}


def _measures(gold: frozenset[str], ids: Sequence[str]) -> tuple[float, ...]:
    """The METRICS of one question."""
    ranks = [rank for rank, memory_id in enumerate(ids, start=1) if memory_id in gold]
    recall = [sum(rank <= depth for rank in ranks) / len(gold) for depth in (5, 10, 20)]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(10, len(gold)) + 1))
    gain = sum(1 / math.log2(rank + 1) for rank in ranks if rank <= 10)
    return (*recall, gain / ideal, 1 / ranks[0] if ranks else 0.0, float(recall[1] == 1))


def _by_category(questions: Sequence[Question], ids: Sequence[Sequence[str]]) -> dict[str, Any]:
    rows: defaultdict[str, list[tuple[float, ...]]] = defaultdict(list)
    for question, row in zip(questions, ids, strict=True):
        measured = _measures(question.gold, row)
        rows["all"].append(measured)
        if question.category != "all":
            rows[question.category].append(measured)
    return {category: _summary(measured) for category, measured in sorted(rows.items())}


def _summary(rows: list[tuple[float, ...]]) -> dict[str, Any]:
    """Means with 95 % intervals by resampling the questions."""
    rng = random.Random(SEED)
    samples = [rng.choices(rows, k=len(rows)) for _ in range(RESAMPLES)]
    summary: dict[str, Any] = {"n": len(rows)}
    for place, name in enumerate(METRICS):
        means = sorted(statistics.fmean(row[place] for row in sample) for sample in samples)
        low, high = means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES)]
        summary[name] = {
            "value": round(statistics.fmean(row[place] for row in rows), 4),
            "low": round(low, 4),
            "high": round(high, 4),
        }
    return summary


def _ablations(
    settings: Settings, there: Connections, questions: Sequence[Question], as_of: datetime
) -> dict[str, dict[str, float]]:
    """Recall@10 and nDCG@10 without one part: of the 200 best, ranked anew; without meaning, asked without vectors."""
    found, _ = _ask(settings, there, questions, as_of, "cued", REACH)
    results = {"": _means(questions, [[one.memory_id for one in row] for row in found])}
    for part in PARTS:
        ranked = [sorted(row, key=lambda one: one.parts[part] - one.score) for row in found]
        results[part] = _means(questions, [[one.memory_id for one in row] for row in ranked])
    plain, _ = _ask(replace(settings, embeddings="none"), there, questions, as_of, "cued")
    results["meaning"] = _means(questions, [[one.memory_id for one in row] for row in plain])
    words = [sorted(row, key=lambda one: -one.parts["words"]) for row in found]
    results["all but words"] = _means(questions, [[one.memory_id for one in row] for row in words])
    return {f"without {part}" if part else "everything": means for part, means in results.items()}


def _means(questions: Sequence[Question], ids: Sequence[Sequence[str]]) -> dict[str, float]:
    rows = [_measures(question.gold, row) for question, row in zip(questions, ids, strict=True)]
    return {
        name: round(statistics.fmean(row[METRICS.index(name)] for row in rows), 4) for name in ("recall@10", "ndcg@10")
    }


def _budget(
    settings: Settings,
    there: Connections,
    questions: Sequence[Question],
    memories: list[dict[str, Any]],
    as_of: datetime,
    share: float,
) -> dict[str, Any]:
    """The share of the gold evidence that a nightly decay under the budget leaves, and that simpler rules would."""
    with _parameters(settings, memory_budget=share) as limited:
        _run_stage(limited, there, "nightly_decay", as_of)
    with psycopg.connect(there.target_dsn) as pg:
        rows = pg.execute("select memory_id, state from memory.memories").fetchall()
    kept = {memory_id for memory_id, state in rows if state != "forgotten"}
    by_agent: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for memory in memories:
        by_agent[memory["agent_id"]].append(memory)
    rng = random.Random(SEED)
    rules: Mapping[str, Callable[[dict[str, Any]], Any]] = {
        "random": lambda _: rng.random(),
        "recency": lambda memory: memory["occurred_at"],
        "length": lambda memory: len(memory["content"]),
    }
    evidence = {"biomem": _evidence(questions, kept)}
    for name, rule in rules.items():
        held = {
            memory["memory_id"]
            for rows in by_agent.values()
            for memory in sorted(rows, key=rule, reverse=True)[: round(share * len(rows))]
        }
        evidence[name] = _evidence(questions, held)
    found = {way: _ask(settings, there, questions, as_of, way)[0] for way in ("cued", "none")}
    return {
        "budget": share,
        "remembered": len(kept),
        "share_remembered": round(len(kept) / len(memories), 4),
        "evidence": evidence,
        "recall@10": {
            way: _means(questions, [[one.memory_id for one in row] for row in rows])["recall@10"]
            for way, rows in found.items()
        },
    }


def _evidence(questions: Sequence[Question], kept: set[str]) -> float:
    pairs = [memory_id in kept for question in questions for memory_id in question.gold]
    return round(sum(pairs) / len(pairs), 4)


@contextmanager
def _parameters(settings: Settings, **values: Any) -> Iterator[Settings]:
    """The same home with other parameters: a copy of the dbt project."""
    with tempfile.TemporaryDirectory(prefix="biomem-eval-dbt-") as folder:
        root = Path(folder)
        shutil.copytree(settings.dbt_dir, root / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
        path = root / "dbt" / "dbt_project.yml"
        project = yaml.safe_load(path.read_text(encoding="utf-8"))
        project["vars"].update(values)
        path.write_text(yaml.safe_dump(project, sort_keys=False), encoding="utf-8")
        yield replace(settings, project_root=root)


@contextmanager
def _timed() -> Iterator[Callable[[], float]]:
    began = time.perf_counter()
    yield lambda: round(time.perf_counter() - began, 1)


def _print(results: dict[str, Any]) -> None:
    embedded = results["embeddings"]
    print(
        f"{results['memories']:,} memories, {results['questions']:,} questions, vectors: {embedded['model']}; "
        f"through the pipeline in {results['pipeline_seconds']} s, of these {embedded['seconds']} s for vectors"
    )
    if any(results["left_out"].values()):
        print("left out:", ", ".join(f"{count} {what}" for what, count in results["left_out"].items() if count))
    print(f"\n{'category':16}{'n':>6}" + "".join(f"{name:>22}" for name in METRICS))
    for category, row in results["recall"].items():
        figures = "".join(
            f"{row[name]['value']:>9.3f} ({row[name]['low']:.3f}-{row[name]['high']:.3f})" for name in METRICS
        )
        print(f"{category:16}{row['n']:>6}{figures}")
    print(f"\na question takes {results['latency_ms']['p50']} ms (p50), {results['latency_ms']['p99']} ms (p99)")
    for what, row in results.get("ablations", {}).items():
        print(f"{what:24} recall@10 {row['recall@10']:.4f}  ndcg@10 {row['ndcg@10']:.4f}")
    for row in results.get("budgets", []):
        held = ", ".join(f"{rule} {share:.3f}" for rule, share in row["evidence"].items())
        recalled = ", ".join(f"{way} {value:.3f}" for way, value in row["recall@10"].items())
        print(
            f"\nbudget {row['budget']:.0%}: {row['remembered']:,} remembered ({row['share_remembered']:.1%}); "
            f"evidence kept: {held}; recall@10 by forgotten: {recalled}"
        )


if __name__ == "__main__":
    main()
