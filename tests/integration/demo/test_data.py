from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from unittest import mock

import psycopg
import pytest
from biomem.demo import data
from biomem.demo.data import end_of_life, load_demo
from biomem.demo.load import LoadOptions, load
from biomem.demo.postgres import Connections
from biomem.errors import InputError, SourceError
from biomem.settings import load_settings

UTC = timezone.utc


@pytest.fixture
def settings(tmp_path):
    return load_settings(tmp_path / "home", {})


@pytest.fixture
def at(dsn):
    return Connections(dsn, dsn, is_embedded=True)


@pytest.fixture
def diary(tmp_path):
    path = tmp_path / "diary.csv"
    path.write_text("date,text\n2020-05-01,Up.\n2020-05-02,So to bed.\n")
    return path


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text(json.dumps({"id": "n1", "content": "a note", "occurred_at": "2021-01-01T10:00:10Z"}) + "\n")
    return path


def ids(database):
    return {row[0] for row in database.execute("select memory_id from memories")}


def make_warehouse(settings):
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.warehouse_path.write_text("old")
    settings.warehouse_path.with_name("warehouse.duckdb.wal").write_text("old")


def test_the_sample_life_is_loaded_with_its_accesses_and_its_end(settings, at, database):
    loaded = load_demo(settings, at)
    assert loaded.rows == database.execute("select count(*) from memories").fetchone()[0] >= 600
    assert loaded.accesses >= 400
    assert loaded.as_of == datetime(2026, 5, 31, 17, 50, tzinfo=UTC)
    assert not loaded.replaced
    assert not loaded.unchanged


def test_the_same_input_again_is_not_loaded_again(settings, at, database):
    first = load_demo(settings, at)
    make_warehouse(settings)
    before = database.execute("select max(xmin::text) from memories").fetchone()
    again = load_demo(settings, at)
    assert again.unchanged
    assert (again.rows, again.accesses, again.as_of) == (first.rows, first.accesses, first.as_of)
    assert database.execute("select max(xmin::text) from memories").fetchone() == before
    assert settings.warehouse_path.exists()


def test_another_input_replaces_the_demo_and_what_was_made_from_it(settings, at, database, diary):
    load_demo(settings, at)
    make_warehouse(settings)
    database.execute("create table memory.made_from_the_old (n int)")
    loaded = load_demo(settings, at, diary)
    assert (loaded.replaced, loaded.rows, loaded.accesses) == (True, 2, 0)
    assert loaded.as_of == datetime(2020, 5, 2, 21, 1, tzinfo=UTC)
    assert ids(database) == {"2020-05-01-001", "2020-05-02-001"}
    assert not settings.warehouse_path.exists()
    assert not settings.warehouse_path.with_name("warehouse.duckdb.wal").exists()
    assert database.execute("select to_regclass('memory.made_from_the_old')").fetchone() == (None,)


def test_and_back_again(settings, at, diary):
    first = load_demo(settings, at)
    load_demo(settings, at, diary)
    back = load_demo(settings, at)
    assert (back.rows, back.accesses, back.as_of) == (first.rows, first.accesses, first.as_of)


def test_the_same_file_read_another_way_is_another_input(settings, at, diary):
    load_demo(settings, at, diary)
    assert load_demo(settings, at, diary, LoadOptions(split="sentences")).replaced


def test_what_somebody_loaded_is_never_replaced(settings, at, database, notes, diary):
    load(notes, database, database)
    with pytest.raises(SourceError, match=r"1 memories that the demo did not put there.*another --home"):
        load_demo(settings, at, diary)
    assert ids(database) == {"n1"}


def test_what_came_into_demo_data_since_is_never_replaced(settings, at, database, notes, diary):
    load_demo(settings, at, diary)
    load(notes, database, database)
    make_warehouse(settings)
    with pytest.raises(SourceError, match="holds 3 memories, 2 of them from the demo"):
        load_demo(settings, at)
    assert "n1" in ids(database)
    assert settings.warehouse_path.exists()
    assert load_demo(settings, at, diary).unchanged


def test_a_table_that_was_there_and_empty_is_filled(settings, at, database, diary):
    database.execute("create table memories (like pg_class)")
    database.execute("drop table memories")
    load_demo(settings, at, diary)
    database.execute("truncate memories")
    assert load_demo(settings, at, diary).rows == 2


def test_a_bad_input_leaves_the_old_demo_as_it_was(settings, at, database, diary, tmp_path):
    load_demo(settings, at, diary)
    make_warehouse(settings)
    bad = tmp_path / "bad.csv"
    bad.write_text("date,text\n2020-05-01,Up.\nnever,No.\n")
    for path in (bad, tmp_path / "absent.csv"):
        with pytest.raises(InputError):
            load_demo(settings, at, path)
    assert len(ids(database)) == 2
    assert settings.warehouse_path.exists()
    assert load_demo(settings, at, diary).unchanged


def test_a_run_killed_between_the_two_steps_is_made_good_by_the_next(settings, at, database, diary):
    load_demo(settings, at)
    make_warehouse(settings)
    with mock.patch.object(data, "remove_warehouse", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        load_demo(settings, at, diary)
    assert len(ids(database)) == 2
    assert settings.warehouse_path.exists(), "the old one is still there"
    assert load_demo(settings, at, diary).unchanged
    assert not settings.warehouse_path.exists()
    make_warehouse(settings)
    load_demo(settings, at, diary)
    assert settings.warehouse_path.exists(), "what is built from the new data stays"


def test_the_end_of_a_life_is_the_end_of_the_window_with_its_newest_event(database, notes):
    load(notes, database, database)
    assert end_of_life(database) == datetime(2021, 1, 1, 10, 0, 30, tzinfo=UTC)
    database.execute("update memories set occurred_at = '2021-01-01T10:00:30Z'")
    assert end_of_life(database) == datetime(2021, 1, 1, 10, 1, tzinfo=UTC)
    database.execute("update memories set occurred_at = '1660-01-01T21:00:29.999999Z'")
    assert end_of_life(database) == datetime(1660, 1, 1, 21, 0, 30, tzinfo=UTC)


def test_an_access_may_be_the_newest_event(database, tmp_path):
    path = tmp_path / "a.jsonl"
    record = {"id": "1", "content": "x", "occurred_at": "2021-01-01T10:00:00Z", "accesses": ["2021-01-02T10:00:00Z"]}
    path.write_text(json.dumps(record))
    load(path, database, database)
    assert end_of_life(database) == datetime(2021, 1, 2, 10, 0, 30, tzinfo=UTC)


def test_no_life_has_no_end(database):
    database.execute("create table memories (memory_id text, occurred_at timestamptz)")
    with pytest.raises(InputError, match="holds no memories yet"):
        end_of_life(database)


def test_another_target_gets_the_accesses(settings, dsn, postgres):
    at = Connections(dsn, postgres.dsn("demo_target"), is_embedded=True)
    assert load_demo(settings, at).accesses >= 400
    with psycopg.connect(dsn) as source:
        assert source.execute("select to_regclass('memory.access_log')").fetchone() == (None,)
    assert timedelta(0) < load_demo(settings, at).as_of - datetime(2026, 5, 31, tzinfo=UTC) < timedelta(days=1)
