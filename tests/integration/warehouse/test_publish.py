"""What readers of schema `memory` see: all of a publication or nothing of it, and only what changed is sent."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from biomem.domain import retention as equations
from biomem.errors import PublishError
from biomem.parameters import load_parameters
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import begin_stage
from biomem.warehouse.publish import publish_stage
from biomem.warehouse.published_tables import STAGE_TABLES
from biomem.warehouse.schema import read_migrations
from biomem.warehouse.target_schema import MIGRATIONS, ensure_target_schema
from psycopg.conninfo import make_conninfo

T = datetime(2026, 1, 1, tzinfo=timezone.utc)
MODELS = """
    create table memory_traces as
        select 'm' || n as memory_id, 'ada' as agent_id, null::varchar as repeat_of, true as is_live, true as is_seen,
            2.5 + n as stability_days, 5.0 as difficulty, timestamptz '2025-01-01' as last_accessed_at,
            1::bigint as access_count, false as is_long_term, 1::bigint as sequence
        from range(20) numbers(n);
    create table stg_memories as
        select memory_id, agent_id, 's' as session_id, 'me' as speaker, 'text of ' || memory_id as content,
            timestamptz '2025-01-01' as occurred_at, .5 as arousal, null::double as importance, ['a', null] as tags,
            true as is_live
        from memory_traces;
    create table memory_supersessions (
        memory_id varchar, is_superseded boolean, is_current boolean, sequence bigint default 1);
    create table wm_active_context as
        select 'ada' as agent_id, n::integer as rank, 'm' || n as memory_id, -1.5 as activation,
            timestamptz '2025-01-01' as last_accessed_at
        from range(1, 4) numbers(n);
    create table stm_windows as
        select 'ada' as agent_id, timestamptz '2025-01-01' + to_seconds(30 * n) as window_start, 'm1' as memory_id,
            true as is_accessed, true as is_in_working_memory, -1.0 as activation, true as is_current,
            1::bigint as sequence
        from range(3) numbers(n);
"""
KILLED_AFTER_THE_COMMIT_IN_POSTGRESQL = """
import os, signal, sys
from pathlib import Path
import psycopg
from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.publish import publish_stage

commit = psycopg.Connection.commit

def commit_and_die(self):
    commit(self)
    os.kill(os.getpid(), signal.SIGKILL)

psycopg.Connection.commit = commit_and_die
with open_warehouse(load_settings(Path(sys.argv[1]), {})) as con:
    publish_stage(con, "short_term_memory", dsn=sys.argv[2], run_id="r1")
"""


@pytest.fixture
def models(settings):
    """Stand-ins for what dbt builds in short_term_memory, with a run begun."""
    with open_warehouse(settings) as con:
        con.execute(MODELS)
    return settings


@pytest.fixture
def change(models):
    """Change the models between publications, as their next run does: under the next number."""

    def run(sql):
        with open_warehouse(models) as con:
            con.execute(sql)
            for model in ("memory_traces", "memory_supersessions", "stm_windows"):
                con.execute(
                    f"update {model} set sequence = (select coalesce(max(sequence), 0) + 1 from raw.run_context)"
                )

    return run


@pytest.fixture
def publish(models, dsn):
    """Begin a run and publish it."""

    def run(run_id="r1", stage="short_term_memory", as_of=T, full_refresh=False):
        with open_warehouse(models) as con:
            begin_stage(con, stage, run_id=run_id, as_of=as_of, params_hash="p", full_refresh=full_refresh)
            return publish_stage(con, stage, dsn=dsn, run_id=run_id)

    return run


def changes(result):
    """Rows written and deleted per table of the models; `sources` is bookkeeping and empty here."""
    return {
        name: (written, result.rows_deleted[name]) for name, written in result.rows_written.items() if name != "sources"
    }


def test_the_first_publication_makes_the_schema_and_sends_everything(pg, publish):
    assert changes(publish()) == {"memories": (20, 0), "working_memory": (3, 0), "short_term": (3, 0)}
    assert pg.execute("select * from memory.memories where memory_id = 'm3'").fetchone() == (
        *("m3", "ada", "s", "me", "text of m3", datetime(2025, 1, 1, tzinfo=timezone.utc), "live", None, 5.5, 5.0),
        *(datetime(2025, 1, 1, tzinfo=timezone.utc), 1, False, 0.5, None, ["a", None], "r1", "p", T),
    )


def test_publishing_twice_changes_nothing_the_second_time(pg, publish):
    publish()
    before = pg.execute("select xmin::text, * from memory.memories order by memory_id").fetchall()
    runs = pg.execute("select * from memory.runs").fetchall()
    assert changes(publish()) == {"memories": (0, 0), "working_memory": (0, 0), "short_term": (0, 0)}
    assert pg.execute("select xmin::text, * from memory.memories order by memory_id").fetchall() == before
    assert pg.execute("select * from memory.runs").fetchall() == runs


def test_how_fresh_each_source_is_is_published(pg, publish, change):
    change(
        "insert into raw.watermarks (source_name, horizon, system_identifier, batch_id, polls, complete_as_of) "
        "values ('diary', '700', 'server', 1, 1, '2026-01-01')"
    )
    publish()
    row = pg.execute("select source_name, complete_as_of, watermark, run_id from memory.sources").fetchall()
    assert row == [("diary", T, "700", "r1")]


def test_only_changed_rows_are_sent_and_stamped_with_their_run(pg, publish, change):
    publish()
    change("update memory_traces set repeat_of = 'm1' where memory_id = 'm5'")
    change("update memory_traces set is_live = false where memory_id = 'm6'")
    change("update wm_active_context set memory_id = 'm9' where rank = 1; delete from wm_active_context where rank = 3")
    assert changes(publish("r2", as_of=T + timedelta(days=1))) == {
        "memories": (1, 1),
        "working_memory": (1, 1),
        "short_term": (0, 0),
    }
    assert pg.execute("select memory_id, state from memory.memories where run_id = 'r2'").fetchall() == [
        ("m5", "repeat")
    ]
    assert pg.execute("select memory_id, run_id from memory.working_memory order by rank").fetchall() == [
        ("m9", "r2"),
        ("m2", "r1"),
    ]


def test_a_window_compares_what_was_written_since_and_a_stage_built_anew_compares_all(pg, publish, models):
    publish()
    with open_warehouse(models) as con:
        con.execute("update memory_traces set stability_days = 70 where memory_id in ('m7', 'm8')")
        con.execute("update memory_traces set sequence = 2 where memory_id = 'm8'")
        con.execute("update stm_windows set activation = 0, sequence = 2 where memory_id = 'm1'")
    assert changes(publish("r2"))["memories"] == (1, 0)
    assert pg.execute("select memory_id from memory.memories where run_id = 'r2'").fetchall() == [("m8",)]
    assert pg.execute("select count(*) from memory.short_term where activation = 0").fetchone() == (3,)
    assert changes(publish("r3", full_refresh=True))["memories"] == (1, 0)
    assert pg.execute("select memory_id from memory.memories where run_id = 'r3'").fetchall() == [("m7",)]


def test_what_leaves_within_the_scope_leaves_the_target(pg, publish, models):
    publish()
    with open_warehouse(models) as con:
        con.execute("update memory_traces set is_live = false, sequence = 2 where memory_id = 'm3'")
        con.execute("update stm_windows set is_current = false, sequence = 2 where window_start = '2025-01-01'")
    result = changes(publish("r2"))
    assert result["memories"] == (0, 1)
    assert result["short_term"] == (0, 1)


def test_a_run_that_changes_nothing_still_leaves_its_heartbeat(pg, publish):
    publish()
    publish("r2")
    assert pg.execute("select run_id, changed_tables from memory.runs order by sequence").fetchall() == [
        ("r1", ["memories", "working_memory", "short_term"]),
        ("r2", []),
    ]
    assert publish("r3").resent == []


def test_a_publication_killed_between_the_two_commits_is_made_good(pg, models, dsn, publish, change):
    publish("r0")
    change(
        "update memory_traces set repeat_of = 'm1' where memory_id = 'm5'; delete from wm_active_context where rank = 3"
    )
    with open_warehouse(models) as con:
        begin_stage(con, "short_term_memory", run_id="r1", as_of=T, params_hash="p")
    script = [sys.executable, "-c", KILLED_AFTER_THE_COMMIT_IN_POSTGRESQL, models.home, dsn]
    assert subprocess.run(script, check=False).returncode == -9
    assert pg.execute("select state from memory.memories where memory_id = 'm5'").fetchone() == ("repeat",)
    change(
        "update memory_traces set repeat_of = null where memory_id = 'm5'; update stm_windows set is_current = false"
    )
    result = publish("r2")
    assert result.resent == ["memories", "working_memory"]
    assert changes(result) == {"memories": (1, 0), "working_memory": (0, 0), "short_term": (0, 3)}
    assert pg.execute("select count(*) filter (where state = 'live'), count(*) from memory.memories").fetchone() == (
        20,
        20,
    )
    assert publish("r3").resent == []


def test_a_target_that_was_restored_from_before_is_brought_up_to_date(pg, publish, change):
    publish("r1")
    change("update memory_traces set repeat_of = 'm1' where memory_id = 'm5'")
    publish("r2")
    pg.execute("delete from memory.runs where run_id = 'r2'")
    pg.execute("update memory.memories set state = 'live', repeat_of = null where memory_id = 'm5'")
    pg.execute("update memory.memories set memory_id = 'ghost' where memory_id = 'm7'")
    assert changes(publish("r3"))["memories"] == (2, 1)


def test_a_target_that_was_lost_is_filled_again(pg, publish):
    publish("r1")
    pg.execute("drop schema memory cascade")
    assert changes(publish("r2")) == {"memories": (20, 0), "working_memory": (3, 0), "short_term": (3, 0)}


def test_a_warehouse_that_was_lost_changes_nothing_that_is_right_already(pg, publish, change):
    publish("r1")
    change("delete from published.rows; delete from published.mark")
    assert changes(publish("r2")) == {"memories": (0, 0), "working_memory": (0, 0), "short_term": (0, 0)}


def test_readers_never_see_half_a_publication(dsn, publish, change):
    def set_everything_to(number):
        change(f"update memory_traces set stability_days = {number}")
        change(f"update wm_active_context set activation = {number}")
        publish(f"r{number}")

    def read():
        with psycopg.connect(dsn, autocommit=True) as pg:
            while not stop.is_set():
                seen.update(
                    pg.execute(
                        "select (select array_agg(distinct stability_days) from memory.memories)::text, "
                        "(select array_agg(distinct activation) from memory.working_memory)::text"
                    ).fetchall()
                )

    seen, stop = set(), threading.Event()
    set_everything_to(1)
    reader = threading.Thread(target=read)
    reader.start()
    for number in range(2, 7):
        set_everything_to(number)
    stop.set()
    reader.join()
    assert len(seen) > 1
    assert seen <= {(f"{{{number}}}", f"{{{number}}}") for number in range(1, 7)}


def test_a_reader_who_asks_several_times_in_one_transaction_sees_one_publication(dsn, publish, change):
    publish("r0")
    with psycopg.connect(dsn) as pg:
        pg.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for number in range(1, 4):
            (first,) = pg.execute("select run_id from memory.runs order by sequence desc limit 1").fetchone()
            change(f"update memory_traces set stability_days = {number}")
            publish(f"r{number}")
            stamps = pg.execute("select distinct run_id from memory.memories").fetchall()
            assert stamps == [(first,)] == [(f"r{number - 1}",)]
            pg.rollback()


def test_the_parameters_of_the_run_are_published_and_followed(pg, publish, models, dsn, settings):
    publish("r1")
    parameters = load_parameters(settings)
    weights = [*parameters["fsrs_weights"].value[:20], 0.5]
    changed = {
        **parameters,
        "fsrs_weights": replace(parameters["fsrs_weights"], value=weights),
        "synaptic_decay_rate": replace(parameters["synaptic_decay_rate"], value=0.1),
    }
    with open_warehouse(models) as con:
        begin_stage(con, "short_term_memory", run_id="r2", as_of=T, params_hash="q")
        publish_stage(con, "short_term_memory", dsn=dsn, run_id="r2", parameters=changed)
    assert dict(pg.execute("select name, value from memory.parameters").fetchall()) == {
        name: parameter.value for name, parameter in changed.items()
    }
    retained, strength = pg.execute(
        "select memory.retention(1, '2025-01-01+00', '2025-01-11+00'),"
        " memory.association_strength(1, '2025-01-01+00', '2025-01-01 10:00+00')"
    ).fetchone()
    assert retained == pytest.approx(equations.retention(10, 1, weights=weights))
    assert strength == pytest.approx(1 - math.exp(-math.exp(-0.1 * 10)))


def test_hostile_content_and_ids_arrive_exactly(pg, publish, change):
    text = "😀 שלום \\N \\. tab\t line\n \"quotes\" 'single' {curly} %s " + "x" * 1_000_000
    hostile = "a\\b\t'\"],[\n"
    change(
        f"update memory_traces set memory_id = {quoted(hostile)} where memory_id = 'm0';"
        f"update stg_memories set memory_id = {quoted(hostile)}, content = {quoted(text)}, "
        f"tags = [{quoted(hostile)}, null, ''] where memory_id = 'm0';"
        f"update stm_windows set memory_id = {quoted(hostile)}"
    )
    publish("r1")
    assert pg.execute("select content, tags from memory.memories where memory_id = %s", [hostile]).fetchone() == (
        text,
        [hostile, None, ""],
    )
    change("update stm_windows set memory_id = 'm1'")
    assert changes(publish("r2"))["short_term"] == (3, 3)
    assert pg.execute("select distinct memory_id from memory.short_term").fetchall() == [("m1",)]


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def test_a_memory_demoted_last_night_is_forgotten_until_its_next_access(pg, publish, change):
    change(
        "create table memory_retention as select memory_id, true as is_forgotten, "
        "timestamptz '2025-06-01' as demoted_at from memory_traces where memory_id in ('m1', 'm2')"
    )
    change("update memory_traces set last_accessed_at = '2025-06-02' where memory_id = 'm2'")
    publish()
    assert pg.execute("select memory_id from memory.memories where state = 'forgotten'").fetchall() == [("m1",)]


def test_a_statement_that_a_later_one_contradicts_is_superseded(pg, publish, change):
    change(
        "insert into memory_supersessions values ('m1', true, true, 1), ('m2', false, true, 1), ('m3', true, false, 1)"
    )
    publish()
    assert pg.execute("select memory_id from memory.memories where state = 'superseded'").fetchall() == [("m1",)]


def test_only_the_newest_windows_are_published(pg, publish, change):
    change(
        "insert into stm_windows select 'ada', "
        "timestamptz '2024-01-01' + to_seconds(30 * n), 'm1', true, true, 0, true, 1 from range(500) numbers(n)"
    )
    publish()
    assert pg.execute("select count(*), max(window_start) from memory.short_term").fetchone() == (
        100,
        datetime(2025, 1, 1, 0, 1, tzinfo=timezone.utc),
    )


def test_a_model_that_was_not_built_is_named_and_nothing_published(pg, publish, models):
    with open_warehouse(models) as con:
        begin_stage(con, "short_term_memory", run_id="r0", as_of=T, params_hash="p")
    with pytest.raises(PublishError, match="ltm_memories"):
        publish(stage="consolidation")
    assert pg.execute("select to_regclass('memory.runs')").fetchone() == (None,)


def test_a_run_that_is_not_the_current_one_is_refused(models, dsn, publish):
    publish("r1")
    with open_warehouse(models) as con, pytest.raises(PublishError, match="'r0' is not the current one"):
        publish_stage(con, "short_term_memory", dsn=dsn, run_id="r0")


def test_a_role_that_may_not_create_the_schema_is_told_so(pg, dsn):
    pg.execute("create role reader login")
    try:
        with pytest.raises(PublishError, match=r"permission denied.*may create a schema"):
            ensure_target_schema(psycopg.conninfo.make_conninfo(dsn, user="reader"))
    finally:
        pg.execute("drop role reader")


def test_a_role_that_owns_the_schema_needs_no_right_to_create_one(pg, dsn):
    pg.execute("create role keeper login; create schema memory authorization keeper")
    try:
        assert ensure_target_schema(psycopg.conninfo.make_conninfo(dsn, user="keeper")) >= 1
    finally:
        pg.execute("drop owned by keeper cascade; drop role keeper")


def test_several_processes_may_set_up_the_schema_at_once(dsn):
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(ensure_target_schema, [dsn] * 4))
    assert versions == [len(read_migrations(MIGRATIONS))] * 4


def test_a_schema_of_a_newer_version_is_left_alone(pg, dsn):
    ensure_target_schema(dsn)
    pg.execute("insert into memory.schema_version values (999, 'from the future')")
    with pytest.raises(PublishError, match="version 999"):
        ensure_target_schema(dsn)


def test_every_table_and_column_of_the_schema_explains_itself(pg, dsn):
    ensure_target_schema(dsn)
    assert (
        pg.execute(
            """
            select c.relname, a.attname
            from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
            where c.relnamespace = 'memory'::regnamespace and c.relkind = 'r' and c.relname <> 'schema_version'
                and (col_description(c.oid, a.attnum) is null or obj_description(c.oid) is null)
            """
        ).fetchall()
        == []
    )


def test_every_function_of_the_schema_explains_itself(pg, dsn):
    ensure_target_schema(dsn)
    silent = pg.execute(
        "select proname from pg_proc where pronamespace = 'memory'::regnamespace "
        "and obj_description(oid, 'pg_proc') is null"
    ).fetchall()
    assert silent == []


def test_every_published_row_tells_the_run_that_wrote_it(pg, dsn):
    ensure_target_schema(dsn)
    for table in {table.name for tables in STAGE_TABLES.values() for table in tables} | {"parameters", "runs"}:
        columns = pg.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnotnull", [f"memory.{table}"]
        ).fetchall()
        assert {("run_id",), ("params_hash",), ("as_of",)} <= set(columns), table


def test_a_schema_of_the_first_version_is_brought_up_to_date_with_its_rows(pg, dsn):
    first, *_ = read_migrations(MIGRATIONS)
    pg.execute("create schema memory; create table memory.schema_version (version integer primary key, name text)")
    pg.execute(first.sql)
    pg.execute("insert into memory.schema_version values (1, %s)", [first.name])
    pg.execute(
        "insert into memory.concepts values ('ada', 'tea', 'tag', 1, '2025-01-01+00', '2025-01-01+00', 'r', 'p', %s)",
        [T],
    )
    newest = len(read_migrations(MIGRATIONS))
    assert ensure_target_schema(dsn) == newest
    assert pg.execute("select concept from memory.concepts").fetchall() == [("tea",)]
    assert pg.execute("select array_agg(version order by version) from memory.schema_version").fetchone() == (
        list(range(1, newest + 1)),
    )


def test_every_published_table_has_the_key_it_is_published_by(pg, dsn):
    ensure_target_schema(dsn)
    for table in {table.name: table for tables in STAGE_TABLES.values() for table in tables}.values():
        keys = pg.execute(
            "select a.attname from pg_index i cross join unnest(i.indkey::int2[]) with ordinality k(attnum, place) "
            "join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum "
            "where i.indrelid = %s::regclass and i.indisprimary order by k.place",
            [f"memory.{table.name}"],
        ).fetchall()
        assert tuple(name for (name,) in keys) == table.key, table.name


def test_retention_in_postgresql_is_that_of_the_model(pg, dsn):
    from biomem.domain.retention import retention

    ensure_target_schema(dsn)
    for elapsed_days, stability_days in [(0, 1), (1, 1), (30, 2.3065), (3650, 0.001)]:
        (value,) = pg.execute(
            "select memory.retention(%s, '2025-01-01+00', '2025-01-01+00'::timestamptz + %s * interval '1 day')",
            [stability_days, elapsed_days],
        ).fetchone()
        assert value == pytest.approx(retention(elapsed_days, stability_days), rel=1e-12)


def test_a_comparison_of_everything_may_take_longer_than_a_session_may_idle(models, change, publish, dsn):
    publish()
    change(
        """
        create table slow as from wm_active_context;
        drop table wm_active_context;
        create view wm_active_context as
            select * from slow where rank < 3 and (select sum(hash(n) % 2) from range(800_000_000) numbers(n)) > 0;
        """
    )
    impatient = make_conninfo(dsn, options="-c idle_in_transaction_session_timeout=400")
    with open_warehouse(models) as con:
        begin_stage(con, "short_term_memory", run_id="r2", as_of=T, params_hash="p", full_refresh=True)
        result = publish_stage(con, "short_term_memory", dsn=impatient, run_id="r2")
    assert result.rows_deleted["working_memory"] == 1
