"""Writers that race with the pull: whatever they commit, and nothing else, is in the warehouse in the end."""

from __future__ import annotations

import random
import threading
import time

import psycopg
import pytest

WRITERS = 6


class Writer(threading.Thread):
    """Inserts, edits and deletes its own rows in transactions of every length, with savepoints and rollbacks."""

    def __init__(self, dsn: str, number: int, until: float) -> None:
        super().__init__()
        self.dsn, self.number, self.until = dsn, number, until
        self.random = random.Random(number)
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(self.dsn) as pg:
                while time.monotonic() < self.until:
                    self.write(pg)
        except Exception as error:  # shown by the test that joins the thread
            self.failure = error

    def write(self, pg: psycopg.Connection) -> None:
        for _ in range(self.random.randint(1, 5)):
            memory_id = f"{self.number}-{self.random.randint(1, 200)}"
            if self.random.random() < 0.1:
                pg.execute("delete from memories where memory_id = %s", [memory_id])
            elif self.random.random() < 0.3:
                with pg.transaction(force_rollback=self.random.random() < 0.3):
                    self.upsert(pg, memory_id)
            else:
                self.upsert(pg, memory_id)
        if self.random.random() < 0.2:
            time.sleep(self.random.uniform(0.2, 1.5))
        if self.random.random() < 0.1:
            pg.rollback()
        else:
            pg.commit()

    def upsert(self, pg: psycopg.Connection, memory_id: str) -> None:
        pg.execute(
            "insert into memories (memory_id, content, occurred_at) values (%s, %s, timestamptz '2025-01-01') "
            "on conflict (memory_id) do update set content = excluded.content",
            [memory_id, f"text {self.random.random()}"],
        )


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_nothing_that_writers_commit_is_lost_or_stale(memories, dsn, pull, raw, seconds):
    until = time.monotonic() + seconds
    writers = [Writer(dsn, number, until) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    pulls = 0
    while any(writer.is_alive() for writer in writers):
        pull()
        pulls += 1
    for writer in writers:
        writer.join()
    assert [writer.failure for writer in writers] == [None] * WRITERS
    pull()
    source = memories.execute("select memory_id, content from memories order by 1").fetchall()
    assert raw("select memory_id, content from raw.memories where deleted_at is null order by 1") == source
    assert len(source) > 100
    assert pulls > 2
