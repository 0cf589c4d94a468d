"""What reaches the warehouse, from whatever table, after whatever happened to it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from biomem.warehouse.target_schema import ensure_target_schema

AS_OF = datetime(2026, 1, 1, tzinfo=timezone.utc)
LATER = AS_OF + timedelta(days=1)
T = "2025-06-01 12:00:00+00"


def insert(pg, *ids, content="some text"):
    for memory_id in ids:
        pg.execute(
            "insert into memories (memory_id, content, occurred_at) values (%s, %s, %s)", [memory_id, content, T]
        )


def counts(result):
    return result.rows_inserted, result.rows_updated, result.rows_deleted


def test_an_empty_table_is_pulled_as_nothing(memories, pull, raw):
    assert counts(pull()) == (0, 0, 0)
    assert raw("select count(*) from raw.memories") == [(0,)]
    assert raw("select polls from raw.watermarks") == [(1,)]


def test_pulling_twice_changes_nothing_the_second_time(memories, pull, raw):
    insert(memories, "a", "b")
    assert counts(pull()) == (2, 0, 0)
    before = raw("from raw.memories order by memory_id"), raw("from raw.pulls")
    second = pull()
    assert counts(second) == (0, 0, 0)
    assert second.batch_id is None
    assert (raw("from raw.memories order by memory_id"), raw("from raw.pulls")) == before


def test_only_the_window_is_read_again(memories, pull):
    insert(memories, *(str(number) for number in range(50)))
    pull()
    insert(memories, "new")
    result = pull()
    assert result.rows_read == 1
    assert not result.is_full


def test_a_transaction_that_commits_late_is_not_lost(memories, dsn, pull, raw):
    with psycopg.connect(dsn) as slow:
        insert(slow, "began first")
        insert(memories, "committed first")
        pull()
        insert(memories, "another")
        pull()
        slow.commit()
    pull()
    assert {memory_id for (memory_id,) in raw("select memory_id from raw.memories")} == {
        "began first",
        "committed first",
        "another",
    }


def test_a_row_written_in_a_savepoint_is_not_lost(memories, dsn, pull, raw):
    with psycopg.connect(dsn) as slow:
        slow.execute("select pg_current_xact_id()")
        with slow.transaction():
            insert(slow, "inner")
        insert(memories, "outer")
        pull()
        slow.commit()
    pull()
    assert raw("select count(*) from raw.memories") == [(2,)]


def test_every_row_keeps_its_id_and_text_exactly(memories, pull, raw):
    texts = {
        "emoji 🧠": "😀👩‍👩‍👧 flag 🇫🇷",
        "שלום": "مرحبا \u202eבעברית\u202c mixed",
        "'; drop table memories; --": "quotes ' \" \\ $$ {} %s",
        "tab\tand\nline": "line\r\nline\ttab \u0001 control",
        " spaces ": "",
        "1 MB": "x é " * 250_000,
        "null": "NULL",
    }
    for memory_id, text in texts.items():
        insert(memories, memory_id, content=text)
    pull()
    assert dict(raw("select memory_id, content from raw.memories")) == texts


def test_a_memory_without_text_is_a_memory(memories, pull, raw):
    insert(memories, "silent", content=None)
    pull()
    assert raw("select content, text_arousal from raw.memories") == [(None, 0.0)]


def test_times_before_1970_and_in_the_future_are_kept(memories, pull, raw):
    memories.execute(
        "insert into memories (memory_id, occurred_at) values ('pepys', '1660-01-01 21:00:30+00'), "
        "('future', '2999-12-31 23:59:59.999999+00'), ('old', '0044-03-15 12:00:00+00')"
    )
    pull()
    assert dict(raw("select memory_id, occurred_at::varchar from raw.memories")) == {
        "pepys": "1660-01-01 21:00:30+00",
        "future": "2999-12-31 23:59:59.999999+00",
        "old": "0044-03-15 12:00:00+00",
    }


def test_rows_without_a_usable_time_are_reported_at_every_pull_and_the_others_taken(memories, pull, raw):
    memories.execute(
        "insert into memories (memory_id, occurred_at) values ('good', now()), ('none', null), ('never', 'infinity'), "
        "('ever', '-infinity'), ('bc', '0044-03-15 12:00:00+00 BC')"
    )
    for _ in range(2):
        result = pull()
        assert result.rows_skipped == {"no time": 1, "a time outside the years 1 to 9999": 3}
        assert set(result.skipped_examples) == {"none", "never", "ever", "bc"}
        assert "NOT TAKEN" in result.describe()
    assert raw("select memory_id from raw.memories") == [("good",)]


def test_a_row_whose_time_became_unusable_keeps_its_last_known_state(memories, pull, raw):
    insert(memories, "a")
    pull()
    memories.execute("update memories set occurred_at = null, content = 'changed'")
    assert pull().rows_skipped == {"no time": 1}
    assert raw("select content, deleted_at from raw.memories") == [("some text", None)]


def test_an_edit_is_a_revision_at_the_sources_own_time_of_it_or_else_at_as_of(memories, pull, raw):
    insert(memories, "dated", "undated", "other")
    pull()
    memories.execute("update memories set content = 'edit', updated_at = '2025-07-01+00' where memory_id = 'dated'")
    memories.execute("update memories set content = 'edit' where memory_id = 'undated'")
    memories.execute("update memories set importance = 1 where memory_id = 'other'")
    assert counts(pull(LATER)) == (0, 3, 0)
    memories.execute("update memories set content = 'again' where memory_id = 'dated'")
    pull(LATER)
    assert raw("select memory_id, revision, revised_at, batch_id from raw.revisions order by all") == [
        ("dated", 1, datetime(2025, 7, 1, tzinfo=timezone.utc), 2),
        ("dated", 2, LATER, 3),
        ("undated", 1, LATER, 2),
    ]


def test_arousal_is_scored_once_per_text(memories, pull, raw, monkeypatch):
    scored = []
    monkeypatch.setattr("biomem.source.scoring.text_arousal", lambda text: scored.append(text) or 0.5)
    insert(memories, "a", content="I love it!")
    pull()
    memories.execute("update memories set importance = .5")
    pull()
    memories.execute("update memories set content = 'I hate it!'")
    pull()
    assert scored == ["I love it!", "I hate it!"]
    assert raw("select text_arousal from raw.memories") == [(0.5,)]


def test_a_deleted_row_becomes_a_tombstone_and_lives_again_when_it_comes_back(memories, pull, raw):
    insert(memories, "a", "b")
    pull()
    memories.execute("delete from memories where memory_id = 'a'")
    assert counts(pull(LATER)) == (0, 0, 1)
    assert raw("select deleted_at from raw.memories where memory_id = 'a'") == [(LATER,)]
    assert counts(pull(LATER)) == (0, 0, 0)
    assert raw("select count(*) from raw.deletions") == [(0,)]
    for lives in (1, 2):
        insert(memories, "a")
        assert counts(pull(LATER)) == (0, 1, 0)
        assert raw("select count(*), count(deleted_at) from raw.memories") == [(2, 0)]
        assert raw("select memory_id, occasion, deleted_at, undeleted_at from raw.deletions order by occasion") == [
            ("a", occasion, LATER, LATER) for occasion in range(1, lives + 1)
        ], "the ledger goes on knowing of it"
        memories.execute("delete from memories where memory_id = 'a'")
        assert counts(pull(LATER)) == (0, 0, 1)


def test_a_truncated_table_leaves_only_tombstones(memories, pull, raw):
    insert(memories, "a", "b")
    pull()
    memories.execute("truncate memories")
    assert counts(pull()) == (0, 0, 2)


def test_a_deletion_does_not_count_before_what_was_computed_already(memories, pull, raw):
    insert(memories, "a")
    pull(LATER)
    memories.execute("delete from memories")
    pull(AS_OF)
    assert raw("select deleted_at from raw.memories") == [(LATER,)]


def test_without_as_of_a_deletion_counts_at_the_newest_time_in_the_data(memories, pull, raw):
    insert(memories, "a", "b")
    pull(None)
    memories.execute("delete from memories where memory_id = 'a'")
    pull(None)
    assert raw("select deleted_at::varchar from raw.memories where memory_id = 'a'") == [("2025-06-01 12:00:00+00",)]


def test_a_large_source_compares_its_keys_every_nth_pull_or_on_request(memories, pull, map_source, monkeypatch):
    monkeypatch.setattr("biomem.source.staging.SMALL_SOURCE_ROWS", 0)
    map_source("sources: {s: {table: public.memories, reconcile_every: 3}}")
    insert(memories, "a", "b", "c")
    assert pull().is_reconciled  # the first reads everything
    memories.execute("delete from memories where memory_id = 'a'")
    assert counts(pull()) == (0, 0, 0)
    assert counts(pull()) == (0, 0, 1)
    memories.execute("delete from memories where memory_id = 'b'")
    assert counts(pull(reconcile=True)) == (0, 0, 1)


def test_a_soft_deletion_is_a_tombstone_with_the_sources_time(memories, pull, raw):
    insert(memories, "a")
    pull()
    memories.execute("update memories set deleted_at = '2025-08-01+00'")
    assert counts(pull()) == (0, 0, 1)
    assert raw("select deleted_at::varchar from raw.memories") == [("2025-08-01 00:00:00+00",)]
    memories.execute("update memories set deleted_at = 'infinity'")
    pull()
    assert raw("select deleted_at from raw.memories") == [(None,)]


def test_a_table_made_anew_is_read_whole(memories, pull, raw):
    insert(memories, "old", "both")
    pull()
    memories.execute("alter table memories rename to before; create table memories (like before including all)")
    insert(memories, "both", "new")
    result = pull()
    assert result.is_full
    assert counts(result) == (1, 0, 1)


def test_rows_that_arrive_with_an_old_transaction_are_noticed(pg, pull, raw):
    pg.execute(
        "create table memories (memory_id text, content text, occurred_at timestamptz) partition by list (memory_id)"
    )
    pg.execute("create table late partition of memories for values in ('late')")
    pg.execute("create table other partition of memories default")
    insert(pg, "late", "early")
    pg.execute("alter table memories detach partition late")
    pull()
    pg.execute("alter table memories attach partition late for values in ('late')")
    insert(pg, "z")
    pull()
    pg.execute("alter table memories detach partition late")
    assert counts(pull()) == (0, 0, 1)
    pg.execute("alter table memories attach partition late for values in ('late')")
    pull()
    assert raw("select memory_id, deleted_at from raw.memories order by 1") == [
        ("early", None),
        ("late", None),
        ("z", None),
    ]


def test_a_horizon_that_went_back_is_a_restored_server_and_read_whole(memories, settings, pull, raw):
    from biomem.warehouse.connection import open_warehouse

    insert(memories, "a")
    pull()
    with open_warehouse(settings) as con:
        con.execute("update raw.watermarks set horizon = '4000000000'")
        con.execute("delete from raw.memories")
    assert pull().is_full
    assert raw("select memory_id from raw.memories") == [("a",)]


def test_any_table_is_found_by_the_names_of_its_columns(pg, pull, raw, map_source):
    map_source("sources: {chat: {table: app.messages, agent_id: ada}}")
    pg.execute("create schema app")
    pg.execute(
        "create table app.messages (id bigint generated always as identity primary key, body varchar(100), "
        "thread_id uuid, role text, created_at timestamp, labels jsonb, importance numeric, meta json)"
    )
    pg.execute(
        "insert into app.messages (body, thread_id, role, created_at, labels, importance, meta) values "
        "('hello', '00000000-0000-0000-0000-000000000001', 'user', '2025-01-01 10:00', '[\"a\", \"b\"]', 'NaN', "
        "'{\"k\": 1}')"
    )
    pull()
    assert raw(
        "select source_name, memory_id, agent_id, session_id, speaker, content, occurred_at::varchar, tags, "
        "importance, metadata from raw.memories"
    ) == [
        (
            "chat",
            "1",
            "ada",
            "00000000-0000-0000-0000-000000000001",
            "user",
            "hello",
            "2025-01-01 10:00:00+00",
            ["a", "b"],
            None,
            '{"k": 1}',
        )
    ]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("timestamptz", "2025-01-01 10:00:00.123456+02", "2025-01-01 08:00:00.123456+00"),
        ("timestamp", "2025-01-01 10:00", "2025-01-01 10:00:00+00"),
        ("date", "2025-01-01", "2025-01-01 00:00:00+00"),
        ("bigint", "1735725600", "2025-01-01 10:00:00+00"),
        ("numeric", "1735725600.5", "2025-01-01 10:00:00.5+00"),
        ("text", "2025-01-01T10:00:00Z", "2025-01-01 10:00:00+00"),
    ],
)
def test_a_time_of_any_type_arrives_as_the_same_instant(pg, pull, raw, kind, value, expected):
    pg.execute(f"create table memories (id int primary key, content text, occurred_at {kind})")
    pg.execute("insert into memories values (1, 'x', %s)", [value])
    pull()
    assert raw("select occurred_at::varchar from raw.memories") == [(expected,)]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("text[]", '{a,NULL,"b c"}', ["a", None, "b c"]),
        ("text[]", "{}", []),
        ("text[]", "{{a,b},{c,d}}", ["a", "b", "c", "d"]),
        ("text", "red, green;blue", ["red", "green", "blue"]),
        ("jsonb", '"one"', ["one"]),
        ("jsonb", '{"no": "list"}', None),
        ("integer[]", "{1,2}", ["1", "2"]),
    ],
)
def test_tags_of_any_type_arrive_as_a_list(pg, pull, raw, kind, value, expected):
    pg.execute(f"create table memories (id int primary key, content text, occurred_at timestamptz, tags {kind})")
    pg.execute("insert into memories values (1, 'x', %s, %s)", [T, value])
    pull()
    assert raw("select tags from raw.memories") == [(expected,)]


def test_hostile_names_of_tables_and_columns_are_only_names(pg, pull, raw, map_source):
    map_source(
        "sources:\n"
        "  'it''s':\n"
        '    table: \'"My ""Schema""; --"."mem\'\'ories.{}"\'\n'
        "    columns: {memory_id: 'i d\"', content: 'text''; drop table x;', occurred_at: 'wann % {0}'}\n"
    )
    pg.execute('create schema "My ""Schema""; --"')
    pg.execute(
        'create table "My ""Schema""; --"."mem\'ories.{}" '
        '("i d""" text primary key, "text\'; drop table x;" text, "wann % {0}" timestamptz)'
    )
    pg.execute('insert into "My ""Schema""; --"."mem\'ories.{}" values (\'a\', \'b\', now())')
    assert counts(pull()) == (1, 0, 0)
    assert counts(pull()) == (0, 0, 0)
    assert raw("select source_name, memory_id, content from raw.memories") == [("it's", "a", "b")]


def test_another_mapping_reads_everything_again(pg, pull, raw, map_source):
    pg.execute("create table memories (id int primary key, content text, title text, occurred_at timestamptz)")
    pg.execute("insert into memories values (1, 'long', 'short', now())")
    map_source("sources: {s: {table: memories}}")
    pull()
    map_source("sources: {s: {table: memories, columns: {content: title}}}")
    assert pull().is_full
    assert raw("select content from raw.memories") == [("short",)]


def test_a_column_added_between_pulls_is_read_for_the_old_rows_too(pg, pull, raw):
    pg.execute("create table memories (id int primary key, content text, occurred_at timestamptz)")
    pg.execute("insert into memories values (1, 'x', now())")
    pull()
    pg.execute("alter table memories add column importance real default .5")
    pull()
    assert raw("select importance from raw.memories") == [(0.5,)]


def test_a_materialised_view_can_be_a_source(pg, pull, raw):
    pg.execute("create materialized view memories as select 1 as id, 'x' as content, now() as occurred_at")
    pull()
    pg.execute("refresh materialized view memories")
    pull()
    assert raw("select count(*) from raw.memories") == [(1,)]


def test_two_sources_each_keep_their_own_watermark(pg, settings, dsn, raw, map_source, pull):
    for name in ("one", "two"):
        pg.execute(f"create table {name} (id text primary key, content text, occurred_at timestamptz)")
        pg.execute(f"insert into {name} values ('{name}', 'x', now())")
    map_source("sources: {one: {table: one}, two: {table: two}}")
    pull()
    pg.execute("delete from one")
    pull()
    assert raw("select source_name, deleted_at is null from raw.memories order by 1") == [("one", False), ("two", True)]
    assert raw("select count(*) from raw.watermarks") == [(2,)]


def test_accesses_are_appended_once(memories, dsn, pull, raw):
    insert(memories, "a")
    pull()
    ensure_target_schema(dsn)
    log = "insert into memory.access_log (memory_id, agent_id, accessed_at) values ('a', 'default', %s)"
    memories.execute(log, ["2025-07-01+00"])
    pull()
    memories.execute(log, ["2025-07-02+00"])
    pull()
    pull()
    assert raw("select access_id, accessed_at::varchar, kind, grade, batch_id from raw.access_log order by 1") == [
        ("1", "2025-07-01 00:00:00+00", "retrieve", 3, 2),
        ("2", "2025-07-02 00:00:00+00", "retrieve", 3, 3),
    ]


def test_a_log_that_counts_from_one_again_loses_no_access(memories, dsn, pull, raw):
    log = "insert into memory.access_log (memory_id, agent_id, accessed_at) values (%s, 'default', '2025-07-01+00')"
    ensure_target_schema(dsn)
    memories.execute(log, ["before"])
    pull()
    memories.execute("drop schema memory cascade")
    ensure_target_schema(dsn)
    memories.execute(log, ["after"])
    pull()
    pull()
    assert raw("select memory_id from raw.access_log order by batch_id") == [("before",), ("after",)]
    assert raw("select count(distinct access_id) from raw.access_log") == [(2,)]


def test_no_session_stays_behind_in_the_source(memories, pull):
    insert(memories, "a")
    pull()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = memories.execute("select count(*) from pg_stat_activity where application_name = 'biomem'").fetchone()
        if left == (0,):
            return
        time.sleep(0.05)
    pytest.fail(f"sessions left: {left}")


def test_forty_four_thousand_memories_are_pulled_in_seconds(memories, pull):
    memories.execute(
        "insert into memories (memory_id, content, occurred_at) "
        "select 'm' || n, 'sentence ' || n, timestamptz '1660-01-01' + n * interval '1 hour' "
        "from generate_series(1, 44000) n"
    )
    started = time.monotonic()
    assert counts(pull()) == (44000, 0, 0)
    first = time.monotonic()
    assert counts(pull()) == (0, 0, 0)
    # generous: the machine may be busy; an accidental loop over rows would take minutes
    assert first - started < 60
    assert time.monotonic() - first < 10
