"""What belongs to the night, over changes of the clock too, and what housekeeping prunes and keeps."""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from biomem.errors import ServiceError
from biomem.warehouse.target_schema import ensure_target_schema
from biomem_airflow import history
from biomem_airflow.dag_defaults import night_schedule

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG

NOW = datetime(2026, 6, 10, 4, tzinfo=timezone.utc)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("changes_on", [date(2026, 3, 29), date(2026, 10, 25)], ids=["an hour less", "an hour more"])
def test_every_local_day_has_one_night_where_clocks_change(
    changes_on: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.timetables.base import TimeRestriction
    from airflow.timetables.trigger import CronTriggerTimetable

    monkeypatch.setenv("BIOMEM_HOME", str(tmp_path))
    own = "parameters: {night_time_zone: Europe/Berlin, night_hour: 2}\nchanges: []\n"
    (tmp_path / "parameters.yml").write_text(own)
    scheduled = night_schedule()
    timetable = CronTriggerTimetable(scheduled.expression, timezone=scheduled.timezone)
    from_, info, nights = datetime.combine(changes_on, datetime.min.time(), BERLIN) - timedelta(days=2), None, []
    for _ in range(5):
        info = timetable.next_dagrun_info(
            last_automated_data_interval=info and info.data_interval,
            restriction=TimeRestriction(earliest=from_, latest=None, catchup=True),
        )
        nights.append(info.run_after.astimezone(BERLIN))
    assert len({night.date() for night in nights}) == 5, nights
    assert {night.hour for night in nights if night.date() != changes_on} == {2}


def test_parameters_that_cannot_be_read_do_not_take_the_night_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOMEM_HOME", str(tmp_path))
    (tmp_path / "parameters.yml").write_text("[")
    assert night_schedule(hours_later=1, weekday="0").expression == "0 3 * * 0"


def test_housekeeping_keeps_nobody_from_the_warehouse_while_it_prunes(all_dags: dict[str, DAG]) -> None:
    dag = all_dags["housekeeping"]
    assert dag.get_task("prune_history").pool == "default_pool"
    assert dag.get_task("compact_warehouse").pool == "duckdb_writer"
    assert all(task.execution_timeout for task in dag.tasks)
    as_of: Any = dag.get_template_env().from_string(dag.get_task("prune_history").as_of)
    assert as_of.render({"data_interval_end": NOW}) == NOW.isoformat()


def test_before_the_first_publication_there_is_nothing_to_prune(dsn: str) -> None:
    assert history.prune_publications(dsn, NOW) == 0


def test_old_publications_go_but_not_those_by_which_the_warehouse_knows_the_target(dsn: str) -> None:
    ensure_target_schema(dsn)
    with psycopg.connect(dsn, autocommit=True) as pg:
        for publish_id, stage, tables, days in (
            ("1", "short_term_memory", ["memories", "short_term"], 30),
            ("2", "short_term_memory", ["short_term"], 20),
            ("3", "short_term_memory", [], 15),
            ("4", "short_term_memory", ["short_term"], 9),
            ("5", "consolidation", ["long_term"], 12),
            ("6", "short_term_memory", [], 1),
        ):
            pg.execute(
                "insert into memory.runs (publish_id, run_id, stage, as_of, params_hash, changed_tables, rows_written, "
                "rows_deleted, published_at) values (%s, 'r', %s, now(), 'p', %s, 0, 0, %s)",
                [publish_id, stage, tables, NOW - timedelta(days=days)],
            )
        assert history.prune_publications(dsn, NOW - timedelta(days=7)) == 2
        assert pg.execute("select publish_id from memory.runs order by sequence").fetchall() == [
            ("1",),
            ("4",),
            ("5",),
            ("6",),
        ]


def test_old_logs_go_with_the_folders_that_they_leave_empty(tmp_path: Path) -> None:
    old, new = tmp_path / "run_id=1" / "a.log", tmp_path / "run_id=2" / "a.log"
    for path, days in ((old, 8), (new, 6)):
        path.parent.mkdir()
        path.write_text("four")
        written = (NOW - timedelta(days=days)).timestamp()
        os.utime(path, (written, written))
    assert history.prune_logs(tmp_path, NOW - timedelta(days=7)) == (1, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["run_id=2"]


def test_a_task_that_is_not_told_airflows_database_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(history.METADATA_URL, raising=False)
    with pytest.raises(ServiceError, match="BIOMEM_METADATA_URL does not name"):
        history.prune_airflow(NOW)
