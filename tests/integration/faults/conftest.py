"""Servers of a test's own that may be killed, cloned and promoted, and writers that never rest."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest
from biomem.demo.postgres import _binaries
from biomem.source.cursors import slots, xid8_column
from biomem.source.mapping import load_sources
from biomem.source.pull import pull_source
from biomem.source.reading import describe_source
from biomem.warehouse.connection import open_warehouse

AS_OF = datetime(2026, 1, 1, tzinfo=timezone.utc)
MEMORIES = """
    create table memories (
        memory_id text primary key, content text, occurred_at timestamptz not null, updated_at timestamptz,
        importance real, deleted_at timestamptz)
"""
READ = 'select memory_id, content, importance, updated_at from memories order by memory_id collate "C"'
KEPT = "select memory_id, content, importance::float4, updated_at from raw.memories where deleted_at is null order by 1"
# PostgreSQL refuses to run as root
AS_USER = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}


class Cluster:
    """A PostgreSQL of a test's own, reached over TCP, with everything a fault needs."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.folder, self.data = folder, folder / "data"
        self.settings = settings
        self.process: subprocess.Popen | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def dsn(self, port: int | None = None, dbname: str = "postgres") -> str:
        return psycopg.conninfo.make_conninfo(host="127.0.0.1", port=port or self.port, user="biomem", dbname=dbname)

    def connect(self, *, dbname: str = "postgres", **options):
        return psycopg.connect(self.dsn(dbname=dbname), **options)

    def create(self) -> Cluster:
        self.run(
            "initdb", "-D", self.data, "-U", "biomem", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"
        )
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(
                "wal_level = logical\nmax_prepared_transactions = 10\nmax_slot_wal_keep_size = '1GB'\n"
                f"max_wal_senders = 4\nlisten_addresses = '127.0.0.1'\nshared_buffers = 32MB\n{self.settings}\n"
            )
        return self

    def clone(self, folder: Path) -> Cluster:
        """A standby that streams from this server."""
        other = Cluster(folder, self.settings)
        other.run("pg_basebackup", "-D", other.data, "-d", self.dsn(), "-R", "--checkpoint=fast", "--no-sync")
        return other

    def start(self) -> Cluster:
        command = [_binaries() / "postgres", "-D", self.data, "-k", self.folder, "-c", f"port={self.port}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **AS_USER)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.connect().close()
                return self
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
                assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.05)

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """kill -9 of the server and all its processes."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def promote(self) -> None:
        with self.connect(autocommit=True) as pg:
            pg.execute("select pg_promote()")

    def run(self, program: str, *arguments) -> None:
        done = subprocess.run(
            [_binaries() / program, *arguments], capture_output=True, text=True, cwd=self.folder, check=False, **AS_USER
        )
        assert done.returncode == 0, done.stderr

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.wait(60)
        self.process = None


@pytest.fixture
def new_folder():
    """Folders that the server's user may enter."""
    made = []

    def make() -> Path:
        folder = Path(tempfile.mkdtemp(prefix="biomem-tests-cluster-"))
        made.append(folder)
        if AS_USER:
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        return folder

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def clusters(new_folder):
    """Servers that are gone when the test ends, whatever became of them."""
    started = []

    def make(settings: str = "", standby_of: Cluster | None = None) -> Cluster:
        folder = new_folder()
        cluster = standby_of.clone(folder) if standby_of else Cluster(folder, settings).create()
        started.append(cluster)
        return cluster.start()

    yield make
    for cluster in started:
        cluster.kill()


@pytest.fixture
def cluster(clusters):
    """A server with an empty table memories."""
    server = clusters()
    with server.connect(autocommit=True) as pg:
        pg.execute(MEMORIES)
    return server


class Puller:
    """Pulls the one source of source.yml into the warehouse, from wherever it is told."""

    def __init__(self, settings) -> None:
        self.settings = settings

    def map(self, cursor: str, more: str = "") -> None:
        self.settings.home.mkdir(parents=True, exist_ok=True)
        self.settings.mapping_path.write_text(f"sources: {{m: {{table: public.memories, cursor: {cursor}{more}}}}}")

    def prepare(self, cursor: str, dsn: str) -> None:
        """Choose a cursor for public.memories, and give it what it needs."""
        self.map(cursor)
        self.give(cursor, dsn)

    def give(self, cursor: str, dsn: str) -> None:
        """Give the cursor of the mapped source what it needs."""
        (source,) = load_sources(self.settings)
        if cursor == "xid8_column":
            with psycopg.connect(dsn, autocommit=True) as pg:
                body, index = xid8_column.ddl(source).split("-- outside")
                pg.execute(body)
                pg.execute("create index" + index.split("create index")[1])
        if cursor == "logical_slot":
            slots.create_slot(describe_source(source, dsn), dsn)

    def __call__(self, dsn: str, *, reconcile: bool = False, report=lambda _: None):
        with open_warehouse(self.settings) as con:
            (source,) = load_sources(self.settings)
            return pull_source(con, source, dsn=dsn, as_of=AS_OF, reconcile=reconcile, report=report)

    def ask(self, sql: str):
        with open_warehouse(self.settings, read_only=True) as con:
            return con.execute(sql).fetchall()

    def differences(self, dsn: str) -> list:
        """Rows that are not the same in source and warehouse, and whatever is there twice."""
        with psycopg.connect(dsn) as pg:
            source = pg.execute(READ).fetchall()
        kept = self.ask(KEPT)
        assert source, "an empty source compares with anything"
        twice = self.ask("select memory_id from raw.memories group by 1 having count(*) > 1")
        # an id is inserted once in its life; a new life is an update of its tombstone
        counted = self.ask(
            "select sum(rows_inserted) as inserted, (select count(*) from raw.memories) as there from raw.pulls "
            "having inserted <> there"
        )
        return [*set(source) ^ set(kept), *twice, *counted]


@pytest.fixture
def pull(settings):
    return Puller(settings)


class Writer(threading.Thread):
    """Inserts, edits and deletes its own rows: long and short transactions, savepoints, rollbacks, a skewed clock."""

    def __init__(self, dsn: str, number: int, until: float, longest_s: float) -> None:
        super().__init__(daemon=True)
        self.dsn, self.number, self.until, self.longest_s = dsn, number, until, longest_s
        self.random = random.Random(number)
        self.skew = timedelta(hours=self.random.choice([0, 0, 0, -30, 7, 4000]))
        self.transactions = 0
        self.failure: Exception | None = None

    def run(self) -> None:
        while time.monotonic() < self.until:
            try:
                with psycopg.connect(self.dsn) as pg:
                    while time.monotonic() < self.until:
                        self.transact(pg)
            except psycopg.OperationalError:
                # the server was killed; what it had committed counts
                time.sleep(0.1)
            except Exception as error:  # shown by the test that joins the thread
                self.failure = error
                return

    def transact(self, pg: psycopg.Connection) -> None:
        for _ in range(self.random.randint(1, 4)):
            self.change(pg)
        chance = self.random.random()
        if chance < 0.05:
            time.sleep(self.longest_s * self.random.uniform(0.7, 1))
        elif chance < 0.3:
            time.sleep(self.random.uniform(0, 0.3))
        if self.random.random() < 0.05:
            pg.rollback()
        else:
            pg.commit()
        self.transactions += 1
        time.sleep(self.random.uniform(0, 0.05))

    def change(self, pg: psycopg.Connection) -> None:
        memory_id = f"{self.number}-{self.random.randint(1, 150)}"
        chance = self.random.random()
        if chance < 0.1:
            pg.execute("delete from memories where memory_id = %s", [memory_id])
        elif chance < 0.25:
            # a savepoint, sometimes one that is rolled back: rows carry the number of a subtransaction
            with pg.transaction(force_rollback=self.random.random() < 0.4):
                self.upsert(pg, memory_id)
        else:
            self.upsert(pg, memory_id)

    def upsert(self, pg: psycopg.Connection, memory_id: str) -> None:
        pg.execute(
            "insert into memories (memory_id, content, occurred_at, updated_at) "
            "values (%(id)s, %(text)s, timestamptz '2025-01-01', %(now)s) on conflict (memory_id) "
            "do update set content = excluded.content, updated_at = excluded.updated_at",
            {
                "id": memory_id,
                "text": f"text {self.random.random()} '; drop table memories; -- \u202e🧠",
                "now": datetime.now(timezone.utc) + self.skew,
            },
        )


@pytest.fixture
def write():
    """Let writers loose; the function that it gives back waits for them and tells of their failures."""

    def start(dsn: str, seconds: float, *, writers: int = 12, longest_s: float = 10):
        until = time.monotonic() + seconds
        threads = [Writer(dsn, number, until, longest_s) for number in range(writers)]
        for thread in threads:
            thread.start()

        def finish() -> int:
            for thread in threads:
                thread.join(seconds + 120)
            assert [thread.failure for thread in threads] == [None] * writers
            return sum(thread.transactions for thread in threads)

        finish.is_over = lambda: not any(thread.is_alive() for thread in threads)
        return finish

    return start
