"""`biomem source pull` as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture
def biomem(settings, dsn):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", "from biomem.cli import main; main()", "--home", settings.home, *arguments],
            env={"BIOMEM_SOURCE_DSN": dsn, "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_pull_prints_what_it_did(memories, biomem):
    memories.execute("insert into memories (memory_id, content, occurred_at) values ('a', 'x', '2025-01-01+00')")
    done = biomem("source", "pull")
    assert done.returncode == 0, done.stderr
    assert "public.memories: 1 inserted, 0 updated, 0 deleted; watermark none -> " in done.stdout


def test_a_pull_prints_json_for_programs(memories, biomem):
    done = biomem("source", "pull", "--reconcile", "--as-of", "2026-01-01", "--json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert result["source"] == "public.memories"
    assert result["is_reconciled"]
    assert {"rows_inserted", "rows_updated", "rows_deleted", "watermark_before", "watermark_after", "seconds"} <= set(
        result
    )


def test_a_mistake_is_one_sentence_and_exit_code_1(pg, biomem):
    for arguments, reason in [([], "there is no table public.memories"), (["--source", "x"], "there is no source 'x'")]:
        done = biomem("source", "pull", *arguments)
        assert done.returncode == 1
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
