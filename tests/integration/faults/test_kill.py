"""kill -9 of the puller and of the server: nothing lost, nothing doubled."""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import psycopg
import pytest
from biomem.errors import SourceError
from biomem.source.mapping import CURSORS

# pulls without end, and says in shared memory where it is: R reads, W is between BEGIN and COMMIT, - is between both
PULL_FOREVER = """
import mmap, sys
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
import biomem.source.pull as pull, biomem.source.staging as staging
from biomem.settings import load_settings
from biomem.source.mapping import load_sources
from biomem.warehouse.connection import open_warehouse, transaction

with open(sys.argv[3], "r+b") as file:
    phase = mmap.mmap(file.fileno(), 1)

def telling(letter):
    @contextmanager
    def told(con):
        phase[0:1] = letter
        with transaction(con):
            yield
        phase[0:1] = b"-"
    return told

pull.transaction, staging.transaction = telling(b"W"), telling(b"R")
staging.SMALL_SOURCE_ROWS = -1
settings = load_settings(Path(sys.argv[1]), {"BIOMEM_THREADS": "2"})
(source,) = load_sources(settings)
while True:
    with open_warehouse(settings) as con:
        pull.pull_source(con, source, dsn=sys.argv[2], as_of=datetime(2026, 1, 1, tzinfo=timezone.utc))
"""
STARTUP_S = 60


class Victim:
    """A process that pulls, to be stopped at a chosen phase and killed."""

    def __init__(self, home, dsn, folder) -> None:
        path = folder / "phase"
        path.write_bytes(b" ")
        self.phase = mmap.mmap(os.open(path, os.O_RDWR), 1)
        self.process = subprocess.Popen([sys.executable, "-c", PULL_FOREVER, home, dsn, path], stderr=subprocess.PIPE)

    def kill_in(self, wanted: bytes | None, after_s: float) -> str:
        """Kill it in the phase `wanted`, or whenever; the phase it was in."""
        self._wait_for(b"RW-")
        time.sleep(after_s)
        deadline = time.monotonic() + STARTUP_S
        while True:
            if wanted:
                self._wait_for(wanted)
            # stopped first, so that the phase that is read is the one it dies in
            self.process.send_signal(signal.SIGSTOP)
            phase = self.phase[0:1]
            if wanted in (None, phase) or time.monotonic() > deadline:
                break
            self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL
        return phase.decode()

    def _wait_for(self, phases: bytes) -> None:
        deadline = time.monotonic() + STARTUP_S
        while self.phase[0:1] not in phases:
            assert self.process.poll() is None, self.process.stderr.read().decode()
            assert time.monotonic() < deadline, f"never came to {phases!r}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("cursor", "kills"),
    [("xmin_window", 4), *(pytest.param(cursor, 30, marks=pytest.mark.slow) for cursor in CURSORS)],
)
def test_a_puller_killed_again_and_again_loses_and_doubles_nothing(cluster, pull, write, tmp_path, cursor, kills):
    pull.prepare(cursor, cluster.dsn())
    chance = random.Random(kills)
    phases: Counter[str] = Counter()
    finish = write(cluster.dsn(), 3 if kills < 10 else 90, longest_s=10 if kills > 10 else 1)
    for number in range(kills):
        victim = Victim(pull.settings.home, cluster.dsn(), tmp_path)
        # every other one between BEGIN and COMMIT, at any point of it; the others wherever they are
        wanted = b"W" if number % 2 else None
        phases[victim.kill_in(wanted, chance.uniform(0, 0.5))] += 1
        if number % 3 == 0:
            pull(cluster.dsn())
    finish()
    pull(cluster.dsn(), reconcile=True)
    assert pull.differences(cluster.dsn()) == []
    print(f"{cursor}: killed while {dict(phases)} (W: between BEGIN and COMMIT)")
    assert phases["W"] >= kills // 3, phases


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cursor", [CURSORS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in CURSORS[1:])])
def test_a_server_killed_amid_writers_and_pulls_loses_nothing_that_it_had_committed(cluster, pull, write, cursor):
    pull.prepare(cursor, cluster.dsn())
    finish = write(cluster.dsn(), 6, longest_s=1)
    failures = 0
    for _ in range(2):
        pull(cluster.dsn())
        cluster.kill()
        before = pull.ask("from raw.memories order by memory_id"), pull.ask("from raw.watermarks")
        with pytest.raises(SourceError, match="does not answer"):
            pull(cluster.dsn())
        assert before == (pull.ask("from raw.memories order by memory_id"), pull.ask("from raw.watermarks"))
        failures += 1
        cluster.start()
        pull(cluster.dsn())
    finish()
    pull(cluster.dsn(), reconcile=True)
    assert pull.differences(cluster.dsn()) == []
    assert failures == 2


def test_a_server_killed_amid_a_backfill_goes_on_with_it(cluster, pull, monkeypatch):
    monkeypatch.setattr("biomem.source.extent.BIG_BYTES", 50_000)
    monkeypatch.setattr("biomem.source.extent.PORTION_BYTES", 50_000)
    pull.map("xmin_window")
    with cluster.connect(autocommit=True) as pg:
        pg.execute(
            "insert into memories (memory_id, content, occurred_at) "
            "select n, repeat(md5(n::text), 4), '2025-01-01' from generate_series(1, 1500) as n"
        )

    def kill(progress):
        if progress.done > 500:
            cluster.kill()

    with pytest.raises(SourceError, match="reading from PostgreSQL"):
        pull(cluster.dsn(), report=kill)
    cluster.start()
    with cluster.connect(autocommit=True) as pg:
        pg.execute("delete from memories where memory_id in ('1', '1500')")
    told = []
    pull(cluster.dsn(), report=told.append)
    assert told[0].done_before > 500
    assert pull.differences(cluster.dsn()) == []


def test_two_pulls_at_once_are_one_after_the_other(cluster, pull, settings):
    pull.map("xmin_window")
    with cluster.connect(autocommit=True) as pg:
        pg.execute(
            "insert into memories (memory_id, content, occurred_at) "
            "select n, 'text', '2025-01-01' from generate_series(1, 5000) as n"
        )
    command = [sys.executable, "-c", "from biomem.cli import main; main()", "--home", settings.home, "source", "pull"]
    both = [
        subprocess.Popen(
            command, env={"BIOMEM_SOURCE_DSN": cluster.dsn(), "PATH": ""}, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    inserted = sorted(process.communicate()[0].split(" inserted")[0].rsplit(" ", 1)[-1] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert inserted == ["0", "5000"]
    assert pull.differences(cluster.dsn()) == []


def test_a_lost_network_connection_to_nowhere_is_said_in_plain_words(pull):
    pull.map("xmin_window")
    nowhere = psycopg.conninfo.make_conninfo(host="127.0.0.1", port=1, user="biomem", dbname="x")
    with pytest.raises(SourceError, match="does not answer: check that it runs"):
        pull(nowhere)
