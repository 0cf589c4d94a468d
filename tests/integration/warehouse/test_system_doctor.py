"""`biomem doctor`: each fault has a name and a cure."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace

import pytest
from biomem.demo.postgres import is_running
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.target_schema import ensure_target_schema
from biomem_airflow.doctor import examine
from biomem_airflow.local import supervisor


@pytest.fixture
def system(settings, dsn):
    return replace(settings, source_dsn=dsn, target_dsn=dsn)


def findings(system):
    return {(one.source, each.check): each for one in examine(system) for each in one.findings}


def test_a_system_that_has_not_begun_is_told_how_to_and_nothing_is_wrong(system):
    found = findings(system)
    assert {each.status for each in found.values()} == {"ok", "warn"}
    assert "biomem up" in found["airflow", "supervisor"].fix
    assert "biomem up" in found["warehouse", "file"].fix
    assert not system.warehouse_path.exists()


def test_a_supervisor_that_was_killed_is_noticed(system):
    system.airflow_home.mkdir(parents=True)
    (system.airflow_home / "running.json").write_text("{}")
    (system.airflow_home / "supervisor.lock").touch()
    found = findings(system)["airflow", "supervisor"]
    assert (found.status, "was killed" in found.text) == ("fix", True)


def test_a_disk_that_fills_up_is_named_with_what_is_needed(system, monkeypatch):
    monkeypatch.setattr(supervisor, "BYTES_NEEDED", 1 << 60)
    found = findings(system)["disk", "space"]
    assert found.status == "fix"
    assert "are needed" in found.fix


def test_late_windows_and_a_growing_disk_are_told_from_what_was_published(system, dsn, pg):
    ensure_target_schema(dsn)
    insert = (
        "insert into memory.runs (publish_id, run_id, stage, as_of, params_hash, changed_tables, rows_written, "
        "rows_deleted, published_at) values (%s, 'r', %s, now(), 'p', '{}', 0, 0, now() - %s::interval)"
    )
    pg.execute(insert, ["1", "short_term_memory", "3 hours"])
    pg.execute(insert, ["2", "consolidation", "1 minute"])
    found = findings(system)
    assert found["target", "short_term_memory"].status == "fix"
    assert found["target", "consolidation"].status == "ok"
    assert "MB a day" in found["target", "growth"].text
    assert found["target", "clock"].status == "ok"


def test_schemas_of_a_newer_biomem_are_named(system, dsn, pg):
    ensure_target_schema(dsn)
    pg.execute("insert into memory.schema_version values (999, 'from the future')")
    with open_warehouse(system) as con:
        con.execute("insert into raw.schema_version values (999, 'from the future')")
    found = findings(system)
    assert "install the newer biomem" in found["target", "schema"].fix
    assert "install the newer biomem" in found["warehouse", "file"].text


def test_a_database_that_is_down_does_not_keep_the_rest_from_being_looked_at(system, tmp_path):
    found = findings(replace(system, source_dsn=f"host={tmp_path} dbname=x password=hidden-word"))
    assert found["source", "connection"].status == "fix"
    assert "hidden-word" not in found["source", "connection"].text
    assert found["target", "clock"].status == "ok"


def test_an_embedded_postgresql_that_died_under_airflow_is_named_and_not_started(settings):
    settings.airflow_home.mkdir(parents=True)
    state = {"url": "http://127.0.0.1:1", "user": "admin", "password_file": "none", "supervisor_pid": 1, "children": []}
    (settings.airflow_home / "running.json").write_text(json.dumps(state))
    with (settings.airflow_home / "supervisor.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = findings(settings)
        assert found["airflow", "postgres"].status == "fix"
        assert "server.log" in found["airflow", "postgres"].text
        assert "biomem down" in found["airflow", "postgres"].fix
        assert not is_running(settings)
