"""The schedule with a source that wakes, and the trigger that listens to it."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.base import TriggerEvent
from biomem.demo.postgres import _Server, embedded, revive
from biomem.settings import load_settings
from biomem_airflow.environment import airflow_connection
from biomem_airflow.triggers import source_written
from biomem_airflow.triggers.source_written import SourceWrittenTrigger, hand_on_at_once

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG

CHANNEL = "biomem_memories_written"


@pytest.fixture
def woken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DAG:
    """The 30-second DAG of a home with one source that wakes and one that does not."""
    from airflow.dag_processing.dagbag import DagBag

    (tmp_path / "source.yml").write_text(
        "sources: {a: {table: memories, wake_up: true}, b: {table: others, wake_up: false}}"
    )
    monkeypatch.setenv("BIOMEM_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_MEMORY_SOURCE", airflow_connection("host=h user=u password=s3cret dbname=d"))
    bag = DagBag(dag_folder=str(load_settings().dags_dir / "short_term_memory.py"))
    assert not bag.import_errors
    return bag.dags["short_term_memory"]


def test_a_source_that_wakes_starts_windows_beside_the_clock(woken: DAG) -> None:
    assert woken.timetable.timetable.delta == timedelta(seconds=30)
    assert woken.max_active_runs == 1
    (watcher,) = woken.timetable.asset_condition.objects[0].watchers
    assert watcher.trigger.channels == [CHANNEL]


def test_what_airflow_stores_of_it_holds_no_secret(woken: DAG) -> None:
    (watcher,) = woken.timetable.asset_condition.objects[0].watchers
    path, arguments = watcher.trigger.serialize()
    assert path == "biomem_airflow.triggers.source_written.SourceWrittenTrigger"
    assert arguments == {"conn_id": "memory_source", "channels": [CHANNEL]}
    assert "s3cret" not in json.dumps(DagSerialization.to_dict(woken), default=str)


def test_without_such_a_source_there_is_only_the_clock(all_dags: dict[str, DAG]) -> None:
    assert all_dags["short_term_memory"].timetable.delta == timedelta(seconds=30)


def test_the_trigger_listens_again_after_the_server_was_killed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(tmp_path_factory.mktemp("killed"), {})
    monkeypatch.setattr(source_written, "FIRST_RETRY_S", 0.1)

    async def hear(dsn: str) -> None:
        async with aclosing(SourceWrittenTrigger(conn_id="wakes", channels=[CHANNEL]).run()) as events:
            for is_killed in (False, True):
                following = asyncio.ensure_future(anext(events))
                if is_killed:
                    server = _Server(settings.postgres_dir).process()
                    assert server is not None
                    server.kill()
                    assert await asyncio.to_thread(revive, settings)
                await asyncio.to_thread(_tell, dsn)
                assert await following == TriggerEvent({"channels": [CHANNEL]})

    with embedded(settings) as postgres:
        monkeypatch.setenv("AIRFLOW_CONN_WAKES", airflow_connection(postgres.dsn()))
        asyncio.run(asyncio.wait_for(hear(postgres.dsn()), 60))
    assert "nothing wakes the pipeline before its time" in capsys.readouterr().out


def test_what_a_source_told_is_handed_on_when_it_is_told(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.jobs.triggerer_job_runner import TriggerRunner

    class Runner(TriggerRunner):
        """Airflow's own, without the process beside it and without its look once a second."""

        async def sync_state_to_supervisor(self, finished_ids: list[int]) -> None:
            told.set_result(self.process_trigger_events(finished_ids))

    monkeypatch.setattr(Runner, "run_trigger", Runner.run_trigger, raising=False)
    hand_on_at_once(Runner)

    async def hear(dsn: str) -> None:
        nonlocal told
        told = asyncio.get_running_loop().create_future()
        runner = Runner()
        runner.triggers[1] = {"name": "wakes", "events": 0}
        listening = asyncio.ensure_future(
            runner.run_trigger(1, SourceWrittenTrigger(conn_id="wakes", channels=[CHANNEL]))
        )
        await asyncio.to_thread(_tell, dsn)
        (entry,) = (await told).events
        assert entry.event == TriggerEvent({"channels": [CHANNEL]})
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening

    told: asyncio.Future[Any]
    with embedded(load_settings(tmp_path_factory.mktemp("told"), {})) as postgres:
        monkeypatch.setenv("AIRFLOW_CONN_WAKES", airflow_connection(postgres.dsn()))
        asyncio.run(asyncio.wait_for(hear(postgres.dsn()), 60))


def _tell(dsn: str) -> None:
    """What a commit in the source does, as soon as somebody listens."""
    with psycopg.connect(dsn, autocommit=True) as pg:
        listeners = "select count(*) from pg_stat_activity where query like 'listen%%' and state = 'idle'"
        while pg.execute(listeners).fetchone() == (0,):
            time.sleep(0.05)
        pg.execute("select pg_notify(%s, '')", [CHANNEL])
