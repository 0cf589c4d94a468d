"""Sources that cannot be pulled as they are: a clear error each, and the warehouse as it was."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from biomem.errors import ConfigurationError, SourceError
from biomem.source.dsn import connect, explain_refusal, normalise, redact
from biomem.source.mapping import load_sources, split_table
from biomem.source.pull import pull_source
from biomem.warehouse.connection import open_warehouse


def insert(pg, memory_id, content="some text"):
    pg.execute("insert into memories (memory_id, content, occurred_at) values (%s, %s, now())", [memory_id, content])


@pytest.fixture
def pull_as(settings, dsn):
    """Pull as another user."""

    def pull_once(user, password="hidden-word"):
        with open_warehouse(settings) as con:
            parts = psycopg.conninfo.make_conninfo(dsn, user=user, password=password)
            return pull_source(con, load_sources(settings)[0], dsn=parts)

    return pull_once


@pytest.fixture
def stranger(pg, dsn):
    """A user without rights."""
    name = f"stranger_{pg.info.dbname}"
    pg.execute(f"create role {name} login")
    yield name
    pg.execute(f"drop owned by {name} cascade; drop role {name}")


def test_a_missing_table_is_named_with_the_tables_there_are(pg, pull):
    pg.execute("create table public.diary (id int)")
    with pytest.raises(SourceError, match=r"no table public\.memories .*there are public\.diary.*BIOMEM_SOURCE_TABLE"):
        pull()


def test_a_missing_column_is_named_with_the_columns_there_are(pg, pull):
    pg.execute("create table memories (id int primary key, words text, occurred_at timestamptz)")
    with pytest.raises(SourceError, match=r"no column for content.*source\.yml.*id, words, occurred_at"):
        pull()


def test_a_mapped_column_that_is_not_there_is_named(memories, pull, map_source):
    map_source("sources: {s: {table: memories, columns: {content: words}}}")
    with pytest.raises(SourceError, match=r"column 'words', mapped to content, is not in public\.memories"):
        pull()


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ("id int, content bytea, occurred_at timestamptz", "content is bytea; content must be a text.*expression"),
        ("id int, content text[], occurred_at timestamptz", r"content is text\[\]; content must be a text"),
        ("id int[], content text, occurred_at timestamptz", r"id is integer\[\]; an id or a name must be a single"),
        ("id jsonb, content text, occurred_at timestamptz", "id is jsonb; an id or a name must be a single value"),
        ("id int, content text, occurred_at timetz", "occurred_at is time with time zone; a time must be"),
        ("id int, content text, occurred_at timestamptz, tags point", "tags is point; tags must be an array"),
        ("id int, content text, occurred_at point", r"occurred_at is point; a time must be"),
        ("id int, content text, occurred_at timestamptz, importance text", "importance is text; it must be a number"),
    ],
)
def test_a_column_of_a_type_that_makes_no_sense_is_named(pg, pull, columns, reason):
    pg.execute(f"create table memories ({columns})")
    with pytest.raises(SourceError, match=reason):
        pull()


def test_a_text_that_is_no_time_is_named_with_its_column_and_nothing_changed(pg, pull, raw):
    pg.execute("create table memories (id int primary key, content text, occurred_at text)")
    pg.execute("insert into memories values (1, 'x', '2025-01-01')")
    pull()
    pg.execute("insert into memories values (2, 'x', '2025-01-02'), (3, 'x', 'yesterday-ish')")
    message = r'column public.memories.occurred_at cannot be read as occurred_at.*"yesterday-ish".*expression'
    with pytest.raises(SourceError, match=message):
        pull()
    assert raw("select memory_id from raw.memories") == [("1",)]


def test_a_text_that_is_no_time_in_a_log_of_ones_own_is_named_too(memories, pull, map_source):
    memories.execute("create table recalls (id text primary key, memory_id text, recalled_at text)")
    memories.execute("insert into recalls values ('1', 'a', 'noonish')")
    map_source("sources: {log: {kind: access_log, table: recalls}}")
    with pytest.raises(SourceError, match=r'public.recalls.recalled_at cannot be read as accessed_at.*"noonish"'):
        pull()


def test_a_dropped_column_is_named_and_the_old_data_kept(memories, pull, raw):
    insert(memories, "a")
    pull()
    memories.execute("alter table memories rename column content to words")
    with pytest.raises(SourceError, match="no column for content"):
        pull()
    assert raw("select content from raw.memories") == [("some text",)]


def test_a_view_is_refused_with_the_name_of_its_base_table(memories, pull, map_source):
    memories.execute("create view shown as select * from memories")
    map_source("sources: {s: {table: shown}}")
    with pytest.raises(SourceError, match=r"public\.shown is a view.*base table instead: public\.memories \("):
        pull()


def test_a_view_over_views_is_refused_with_the_names_of_the_tables_below(memories, pull, map_source):
    memories.execute("create table notes (id int); create view a as select * from memories")
    memories.execute("create view b as select a.memory_id from a, notes")
    map_source("sources: {s: {table: b}}")
    with pytest.raises(SourceError, match=r"base tables instead: public\.memories, public\.notes \("):
        pull()


def test_duplicate_ids_are_named_and_the_old_data_kept(pg, pull, raw):
    pg.execute("create table memories (memory_id text, content text, occurred_at timestamptz)")
    insert(pg, "twice", "first")
    insert(pg, "once")
    pull()
    insert(pg, "twice", "second")
    with pytest.raises(SourceError, match=r"several rows with the same memory_id: 'twice'; nothing was changed"):
        pull()
    assert raw("select content from raw.memories where memory_id = 'twice'") == [("first",)]
    pg.execute("delete from memories where content = 'first'")
    pull()
    assert raw("select content from raw.memories where memory_id = 'twice'") == [("second",)]


def test_two_sources_must_not_share_an_id(pg, pull, raw, map_source):
    for name in ("one", "two"):
        pg.execute(f"create table {name} (id text primary key, content text, occurred_at timestamptz)")
        pg.execute(f"insert into {name} values ('same', '{name}', now())")
    map_source("sources: {one: {table: one}, two: {table: two}}")
    with pytest.raises(SourceError, match=r"'two' holds ids that came from source 'one' already: 'same'"):
        pull()
    assert raw("select content from raw.memories") == [("one",)]


def test_a_user_without_the_right_to_read_is_told_what_to_grant(memories, pull_as, stranger):
    with pytest.raises(SourceError, match=rf'may not read public\.memories: grant select .* to "{stranger}"'):
        pull_as(stranger)


def test_a_schema_that_must_not_be_used_is_named(pg, pull_as, stranger, map_source):
    pg.execute("create schema private; create table private.memories (id int)")
    map_source("sources: {s: {table: private.memories}}")
    with pytest.raises(SourceError, match="may not use schema 'private'"):
        pull_as(stranger)


def test_a_user_with_nothing_but_the_right_to_read_can_be_pulled_as(memories, pull_as, stranger):
    insert(memories, "a")
    memories.execute(f"grant select on memories to {stranger}")
    assert pull_as(stranger).rows_inserted == 1


def pull_until_refused(pull_as):
    """The server takes a moment to read its changed configuration."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            pull_as("locked", "wrong-and-secret")
        except SourceError as error:
            if "refused" in str(error):
                raise
        time.sleep(0.05)


def test_a_wrong_password_is_said_without_the_password(pg, postgres, pull_as):
    hba = postgres.socket_dir.parent / "data" / "pg_hba.conf"
    before = hba.read_text()
    pg.execute("create role locked login password 'right'")
    try:
        hba.write_text(f"local all locked scram-sha-256\n{before}")
        pg.execute("select pg_reload_conf()")
        with pytest.raises(SourceError, match="refused the password of user 'locked'") as caught:
            pull_until_refused(pull_as)
        assert "wrong-and-secret" not in str(caught.value)
    finally:
        hba.write_text(before)
        pg.execute("select pg_reload_conf(); drop role locked")


def test_a_server_that_is_not_there_is_said_with_its_place(settings):
    # a folder of the test's own may be longer than the path of a socket can be
    with pytest.raises(SourceError, match=r'database "d" at /nowhere:5432\) does not answer'):
        connect("host=/nowhere dbname=d user=u password=hidden-word")


def test_a_pooler_that_takes_no_settings_is_named_with_the_fix():
    refusal = "connection failed: FATAL:  unsupported startup parameter: options"
    assert "ignore_startup_parameters = options" in explain_refusal(refusal, "host=h port=6432 user=u dbname=d")


def test_a_database_that_is_not_there_is_named(dsn):
    with pytest.raises(SourceError, match=r'database "nope".*there is no such database'):
        connect(psycopg.conninfo.make_conninfo(dsn, dbname="nope"))


def test_a_source_that_goes_away_in_mid_pull_changes_nothing(memories, dsn, pull, raw):
    insert(memories, "a")
    pull()
    insert(memories, "b")
    failures = []

    def pull_and_keep_the_failure():
        try:
            pull()
        except SourceError as error:
            failures.append(str(error))

    with psycopg.connect(dsn) as blocker:
        blocker.execute("lock table memories in access exclusive mode")
        puller = threading.Thread(target=pull_and_keep_the_failure)
        puller.start()
        deadline = time.monotonic() + 20
        waiting = (
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and wait_event_type = 'Lock'"
        )
        while not memories.execute(waiting).fetchall():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        puller.join()
    assert len(failures) == 1
    assert "nothing was changed" in failures[0]
    assert raw("select memory_id from raw.memories") == [("a",)]
    assert pull().rows_inserted == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sources: [", "is not YAML"),
        ("tables: {}", "must hold `sources:`"),
        ("sources: {s: {columns: {}}}", "must name its `table:`"),
        ("sources: {s: {table: m, colums: {}}}", "colums is not known; there are kind, table, columns"),
        ("sources: {s: {table: m, columns: {text: body}}}", "text is not known; there are memory_id, content"),
        ("sources: {s: {table: m, reconcile_every: 0}}", "reconcile_every must be a whole number"),
        ("sources: {s: {table: m, reconcile_every: true}}", "reconcile_every must be a whole number"),
        ("sources: {s: {table: a.b.c}}", "does not name a table"),
        ("sources: {s: {table: m}, s: {table: n}}", "s twice"),
        ("sources: {memory.access_log: {table: m}}", "the target's own access log has that name"),
        ("sources: {s: {table: m, kind: view}}", "kind must be one of memories, access_log; got 'view'"),
        (
            "sources: {s: {table: m, kind: access_log, columns: {content: c}}}",
            "content is not known; there are access_id",
        ),
        (
            "sources: {s: {table: m, cursor: updated_at}}",
            "cursor must be one of xmin_window, xid8_column, logical_slot",
        ),
        ("sources: {s: {table: m, kind: access_log, cursor: xid8_column}}", "cursor must be one of xmin_window; got"),
        ("sources: {s: {table: m, slot: a}}", "slot belongs to `cursor: logical_slot`, and the cursor is xmin_window"),
        ("sources: {s: {table: m, cursor: logical_slot, slot: A-b}}", "slot 'A-b' must be 1 to 63 of a-z"),
        (
            "sources: {s: {table: m, cursor: logical_slot, slot: a}, t: {table: n, cursor: logical_slot, slot: a}}",
            "a slot can feed one source only, and several name a",
        ),
        ("sources: {s: {table: m, cursor: xid8_column, cursor_column: 5}}", "cursor_column must be a name, got 5"),
        ("sources: {s: {table: m, columns: {content: 5}}}", "columns: content must be the name of a column, null, or"),
        ("sources: {s: {table: m, columns: {content: {expr: a}}}}", "columns: content must be the name of a column"),
        ("sources: {s: {table: m, columns: {content: null}}}", "content cannot be left out"),
        ("sources: {s: {table: m, columns: {id: a, memory_id: a}}}", "id and memory_id are the same; keep one"),
    ],
)
def test_a_mistake_in_the_mapping_is_named(settings, map_source, text, reason):
    map_source(text)
    with pytest.raises(ConfigurationError, match=reason):
        load_sources(settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("memories", ("public", "memories")),
        ("app.Memories", ("app", "Memories")),
        ('"My Schema"."a.b ""c"""', ("My Schema", 'a.b "c"')),
    ],
)
def test_a_table_is_named_as_people_write_it(text, expected):
    assert split_table(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:pass%20word@h:5/d?sslmode=require",
        "postgres://u:pass%20word@h:5/d?sslmode=require",
        "postgresql+psycopg2://u:pass%20word@h:5/d?sslmode=require&cursor=dictcursor",
        "host=h port=5 user=u password='pass word' dbname=d sslmode=require",
        '{"conn_type": "postgres", "host": "h", "port": 5, "login": "u", "password": "pass word", "schema": "d", '
        '"extra": {"sslmode": "require", "cursor": "dictcursor"}}',
        "postgres://u:pass%20word@h:5/d?__extra__=%7B%22sslmode%22%3A+%22require%22%7D",
    ],
)
def test_a_connection_is_read_from_every_common_form_and_shown_without_its_password(text):
    parts = psycopg.conninfo.conninfo_to_dict(normalise(text))
    assert parts == {
        "host": "h",
        "port": "5",
        "user": "u",
        "password": "pass word",
        "dbname": "d",
        "sslmode": "require",
    }
    assert "pass" not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "mysql://u:hidden@h/d",
        "hidden",
        '{"password": "hidden"',
        "postgresql://u:hidden@h/d?sslmod=require",
        "postgres://[hidden",
    ],
)
def test_a_malformed_connection_is_refused_without_showing_it(text):
    with pytest.raises(ConfigurationError) as caught:
        normalise(text)
    assert "hidden" not in str(caught.value)
    assert "hidden" not in redact(text)
