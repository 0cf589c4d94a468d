"""What was removed for good stays away while the source still has it, and what a person at the terminal sees of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from biomem.deletion.forget import Request, forget
from biomem.settings import load_settings
from biomem.source.mapping import load_sources
from biomem.source.pull import pull_all
from biomem.warehouse import removal
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.lock import warehouse_lock
from biomem.warehouse.target_schema import ensure_target_schema
from lives import day


@pytest.fixture
def source(pg, dsn):
    """A source table with three memories."""
    ensure_target_schema(dsn)
    pg.execute(
        "create table public.memories (id text primary key, agent_id text default 'ada', content text, "
        "occurred_at timestamptz default '2026-01-01+00')"
    )
    pg.execute("insert into memories (id, content) values ('a', 'tea'), ('b''; --', 'secret thing'), ('c', 'bread')")
    return pg


@pytest.fixture
def home(tmp_path):
    return load_settings(tmp_path / "home", {"BIOMEM_MAX_MEMORY": "1GB"})


def pull(home, dsn, **options):
    with open_warehouse(home) as con:
        pull_all(con, load_sources(home), source_dsn=dsn, target_dsn=dsn, as_of=day(1), **options)
        rows = con.execute("select memory_id from raw.memories where deleted_at is null order by 1").fetchall()
    return [memory_id for (memory_id,) in rows]


def remove(home, dsn, *ids):
    return forget(home, Request(ids, day(2), "tester", skip_vacuum=True), target_dsn=dsn)


def test_it_does_not_come_back_with_any_later_pull(source, home, dsn):
    assert pull(home, dsn) == ["a", "b'; --", "c"]
    remove(home, dsn, "b'; --")
    assert pull(home, dsn) == ["a", "c"]
    source.execute("update memories set content = 'the secret thing again' where id like 'b%'")
    assert pull(home, dsn) == ["a", "c"]
    source.execute(
        "delete from memories where id like 'b%'; insert into memories (id, content) values ('b''; --', 'x')"
    )
    assert pull(home, dsn, reconcile=True) == ["a", "c"]
    with open_warehouse(home) as con:
        con.execute("delete from raw.watermarks")
    assert pull(home, dsn) == ["a", "c"], "a pull of the whole table"


def test_an_access_to_it_is_not_pulled_either(source, home, dsn):
    pull(home, dsn)
    remove(home, dsn, "a")
    log = "insert into memory.access_log (memory_id, agent_id, accessed_at) values (%s, 'ada', '2026-01-02+00')"
    for memory_id in ("a", "c"):
        source.execute(log, [memory_id])
    pull(home, dsn)
    with open_warehouse(home) as con:
        assert con.execute("select memory_id from raw.access_log").fetchall() == [("c",)]


def test_a_backfill_leaves_it_out_too(source, home, dsn, monkeypatch):
    pull(home, dsn)
    remove(home, dsn, "a")
    with open_warehouse(home) as con:
        for table in ("memories", "watermarks"):
            con.execute(f"delete from raw.{table}")
    monkeypatch.setattr("biomem.source.extent.PORTION_BYTES", 1)
    assert pull(home, dsn) == ["b'; --", "c"]


def test_it_comes_back_when_that_is_asked_for_and_can_be_removed_again(source, home, dsn):
    pull(home, dsn)
    remove(home, dsn, "a")
    with open_warehouse(home) as con:
        assert removal.readmit(con, ["a", "c"]) == ["a"]
    assert pull(home, dsn, reconcile=True) == ["a", "b'; --", "c"]
    assert remove(home, dsn, "a").forgotten == ["a"]
    assert pull(home, dsn, reconcile=True) == ["b'; --", "c"]
    with open_warehouse(home) as con:
        assert [receipt.is_blocked for receipt in removal.receipts(con, ["a"])] == [False, True]


@pytest.fixture
def biomem(home, dsn):
    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-c", "from biomem.cli import main; main()", "--home", home.home, *arguments],
            env={"BIOMEM_SOURCE_DSN": dsn, "PATH": "", "USER": "tester"},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            **options,
        )

    return run


def test_a_person_is_told_what_was_removed_and_how_to_delete_it_in_the_source(source, home, dsn, biomem):
    pull(home, dsn)
    done = biomem("forget", "--hard", "b'; --", "nobody", "--yes", "--skip-vacuum", "--reason", "asked by phone")
    assert done.returncode == 1, "one id was not known"
    assert "1 memories removed for good" in done.stdout
    assert "NOT KNOWN, nothing was done about: nobody" in done.stdout
    assert "STILL IN THE SOURCE, public.memories: b'; --" in done.stdout
    (statement,) = [line for line in done.stdout.splitlines() if line.strip().startswith("delete from")]
    source.execute(statement)
    assert source.execute("select id from memories order by 1").fetchall() == [("a",), ("c",)]
    again = biomem("forget", "--hard", "b'; --", "--yes", "--json")
    assert again.returncode == 0, again.stderr
    report = json.loads(again.stdout)
    assert (report["already_forgotten"], report["still_in_source"]) == (["b'; --"], [])


def test_a_person_is_asked_first_and_may_look_first(source, home, dsn, biomem):
    pull(home, dsn)
    unasked = biomem("forget", "--hard", "a")
    assert unasked.returncode == 1
    assert "add --yes, or look with --dry-run" in unasked.stderr
    looked = biomem("forget", "--hard", "a", "--dry-run")
    assert looked.returncode == 0, looked.stderr
    assert "1 memories would be removed: a" in looked.stdout
    assert "raw.memories 1" in looked.stdout
    soft = biomem("forget", "a")
    assert soft.returncode == 1
    assert "memories fade by themselves" in soft.stderr
    assert pull(home, dsn) == ["a", "b'; --", "c"]


def test_the_terminal_readmits(source, home, dsn, biomem):
    pull(home, dsn)
    assert "none of a is being kept away" in biomem("forget", "--readmit", "a").stderr
    remove(home, dsn, "a")
    assert "a may come back" in biomem("forget", "--readmit", "a").stdout
    assert pull(home, dsn, reconcile=True) == ["a", "b'; --", "c"]


def test_who_waits_for_the_warehouse_is_told_for_whom(source, home, dsn, biomem):
    pull(home, dsn)
    command = [sys.executable, "-c", "from biomem.cli import main; main()", "--home", str(home.home)]
    with warehouse_lock(home.home, purpose="a long task"):
        waiting = subprocess.Popen(
            [*command, "forget", "--hard", "a", "--yes", "--skip-vacuum"],
            env={"BIOMEM_SOURCE_DSN": dsn, "PATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = waiting.stderr.readline()
    assert "waiting: the warehouse is in use by process" in line
    assert "(a long task)" in line
    out, err = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, err
    assert "removed for good" in out


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_it_is_finished(source, home, dsn):
    source.execute("insert into memories (id, content) select 'k' || n, 'killed ' || n from generate_series(1, 20) n")
    pull(home, dsn)
    environment = {"BIOMEM_SOURCE_DSN": dsn, "PATH": ""}
    command = [
        sys.executable,
        "-c",
        "from biomem.cli import main; main()",
        "--home",
        str(home.home),
        "forget",
        "--hard",
    ]
    for number in range(1, 9):
        killed = subprocess.Popen(
            [*command, f"k{number}", "--yes"], env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        # the n-th step, and a moment into it
        for _ in range((number - 1) % 4 + 1):
            killed.stderr.readline()
        time.sleep(0.02 * (number // 4))
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    ids = [f"k{number}" for number in range(1, 9)]
    done = subprocess.run([*command, *ids, "--yes"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert pull(home, dsn) == sorted({f"k{n}" for n in range(1, 21)} - {*ids} | {"a", "b'; --", "c"})
    with open_warehouse(home) as con:
        assert sorted(receipt.memory_id for receipt in removal.receipts(con)) == ids
        assert all(receipt.is_complete for receipt in removal.receipts(con))
    # a whole word and no more: 'killed 1' is part of 'killed 10'
    assert b"killed 2" not in home.warehouse_path.read_bytes().replace(b"killed 20", b"")
