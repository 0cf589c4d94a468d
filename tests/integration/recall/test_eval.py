"""`make eval` on a data set that has little of what it may have."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from biomem.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from pathlib import Path

EVAL = [sys.executable, str(PROJECT_ROOT / "benchmarks" / "eval.py")]


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.slow
def test_an_unseen_data_set_is_taken_through_the_pipeline_and_measured(tmp_path):
    birds = ["heron", "crane", "stork", "swift", "wren", "robin", "eagle", "kite"]
    write(
        tmp_path / "memories.jsonl", [{"memory_id": n, "content": f"We saw a {bird}"} for n, bird in enumerate(birds)]
    )
    questions = [{"question": f"When did we see the {bird}?", "gold": [str(n)]} for n, bird in enumerate(birds)]
    questions += [
        {"question": "Which waders?", "gold": ["0", 1, "unheard of"], "category": "several", "extra": None},
        {"question": "Lost evidence?", "gold": ["unheard of"]},
        {"question": "No evidence?"},
    ]
    write(tmp_path / "questions.jsonl", questions)
    out = tmp_path / "deep" / "out.json"
    done = subprocess.run(
        [*EVAL, str(tmp_path), "--out", str(out), "--embeddings", "none", "--ablations"],
        capture_output=True,
        text=True,
        check=True,
    )
    results = json.loads(out.read_text())
    assert (results["memories"], results["questions"]) == (8, 9)
    assert results["left_out"] == {"gold_ids_unknown": 2, "questions_without_gold": 2}
    assert set(results["recall"]) == {"all", "several"}
    assert results["recall"]["all"]["n"] == 9
    assert results["recall"]["all"]["recall@5"]["value"] == pytest.approx(8 / 9, abs=1e-3)
    assert [row["budget"] for row in results["budgets"]] == [0.5, 0.25]
    assert [row["remembered"] for row in results["budgets"]] == [4, 2]
    assert results["budgets"][0]["evidence"]["recency"] == pytest.approx(4 / 10)
    assert set(results["ablations"]) >= {"everything", "without who", "without meaning"}
    assert "budget 50%: 4 remembered" in done.stdout


@pytest.mark.parametrize(
    ("memories", "questions", "told"),
    [
        (None, [], "holds no memories.jsonl"),
        ([{"memory_id": "a"}], [], "memory 1 of"),
        ([{"memory_id": "a", "content": "x"}], [{"question": "x", "gold": ["b"]}], "no question of"),
    ],
)
def test_a_data_set_that_cannot_be_measured_is_told(tmp_path, memories, questions, told):
    if memories is not None:
        write(tmp_path / "memories.jsonl", memories)
        write(tmp_path / "questions.jsonl", questions)
    done = subprocess.run([*EVAL, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
