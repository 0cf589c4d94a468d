"""What was, is answered from a rebuild, which is kept."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from biomem.recall.asking import Asker
from biomem.recall.past import is_past, memory_as_of

from tests.integration.dbt.lives import Life, day


@pytest.fixture
def life():
    # the embedded server's user must reach its folder
    with tempfile.TemporaryDirectory(prefix="biomem-tests-past-") as folder:
        Path(folder).chmod(0o755)
        life = Life(Path(folder))
        life.settings = replace(life.settings, embeddings="none")
        life.pull(
            [
                {"memory_id": "early", "content": "a heron by the lake", "occurred_at": day(0.5)},
                {"memory_id": "late", "content": "a heron by the sea", "occurred_at": day(60)},
            ]
        )
        life.live_to(day(61))
        yield life


@pytest.mark.slow
def test_the_past_is_asked_as_it_was_and_built_once(life):
    told: list[str] = []

    def ask(as_of):
        with memory_as_of(life.settings, as_of, report=told.append) as dsn, psycopg.connect(dsn) as pg:
            found = Asker(pg, life.settings).recall("heron", "ada", as_of=as_of)
            logged = pg.execute("select count(*) from memory.access_log").fetchone()
        assert logged == (0,)
        return {one.memory_id: one.parts["state"] for one in found}

    assert is_past(life.settings, day(2))
    assert not is_past(life.settings, day(61))
    assert ask(day(2)) == {"early": "live"}
    building = len(told)
    assert building > 0
    assert ask(day(2)) == {"early": "live"}
    assert len(told) == building
    # the lived warehouse stays where it was
    assert life.value("select max(as_of) from raw.run_context") == day(61)
    # what comes in later, of then, is taken up
    life.pull([{"memory_id": "forgotten diary", "content": "a heron in the reeds", "occurred_at": day(1)}])
    assert set(ask(day(2))) == {"early", "forgotten diary"}
