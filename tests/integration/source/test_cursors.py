"""The three cursors: each finds every change, and all of them the same."""

from __future__ import annotations

import psycopg
import pytest
from biomem.errors import SourceError
from biomem.source.cursors import slots, xid8_column
from biomem.source.mapping import CURSORS, SourceTable, load_sources
from biomem.source.reading import describe_source

T = "2025-06-01 12:00:00+00"


@pytest.fixture(params=CURSORS)
def cursor(request):
    return request.param


@pytest.fixture
def use(settings, dsn, pg, map_source):
    """Choose a cursor for public.memories, and give it what it needs in the source."""

    def choose(cursor: str, more: str = "") -> SourceTable:
        map_source(f"sources: {{m: {{table: public.memories, cursor: {cursor}{more}}}}}")
        (source,) = load_sources(settings)
        if cursor == "xid8_column":
            for statement in xid8_column.ddl(source).split(";\n-- outside")[0], "create index on memories (row_xid)":
                pg.execute(statement)
        if cursor == "logical_slot":
            slots.create_slot(describe_source(source, dsn), dsn)
        return source

    return choose


def insert(pg, *ids, content="some text"):
    for memory_id in ids:
        pg.execute(
            "insert into memories (memory_id, content, occurred_at) values (%s, %s, %s)", [memory_id, content, T]
        )


def counts(result):
    return result.rows_inserted, result.rows_updated, result.rows_deleted


def kept(raw):
    return raw("select memory_id, content from raw.memories where deleted_at is null order by 1")


def source_rows(pg):
    return pg.execute("select memory_id, content from memories order by 1").fetchall()


@pytest.fixture(autouse=True)
def only_by_the_cursor(monkeypatch):
    """No pull compares keys unless it is told to: what is found was found by the cursor."""
    monkeypatch.setattr("biomem.source.staging.SMALL_SOURCE_ROWS", -1)


def test_only_what_changed_is_read_again(memories, use, cursor, pull, raw):
    use(cursor)
    insert(memories, *(str(number) for number in range(50)))
    assert counts(pull()) == (50, 0, 0)
    pull()
    insert(memories, "new")
    memories.execute("update memories set content = 'edit' where memory_id = '7'")
    result = pull()
    assert counts(result) == (1, 1, 0)
    assert result.rows_read == 2
    assert not result.is_full
    assert kept(raw) == source_rows(memories)
    assert pull().rows_read == 0


def test_a_transaction_that_commits_late_is_not_lost(memories, dsn, use, cursor, pull, raw):
    use(cursor)
    pull()
    with psycopg.connect(dsn) as slow:
        insert(slow, "began first")
        with slow.transaction():
            insert(slow, "in a savepoint")
        insert(memories, "committed first")
        pull()
        insert(memories, "another")
        pull()
        slow.commit()
    pull()
    assert kept(raw) == source_rows(memories)
    assert len(kept(raw)) == 4


def test_a_deletion_and_a_new_life_are_seen_when_the_keys_are_compared(memories, use, cursor, pull, raw):
    use(cursor)
    insert(memories, "a", "b")
    pull()
    memories.execute("delete from memories where memory_id = 'a'")
    assert counts(pull(reconcile=True)) == (0, 0, 1)
    insert(memories, "a", content="again")
    assert counts(pull()) == (0, 1, 0)
    assert kept(raw) == [("a", "again"), ("b", "some text")]
    assert raw("select count(*) from raw.memories") == [(2,)]


def test_a_truncated_table_leaves_only_tombstones(memories, use, cursor, pull, raw):
    use(cursor)
    insert(memories, "a", "b")
    pull()
    memories.execute("truncate memories")
    insert(memories, "c")
    assert counts(pull(reconcile=True)) == (1, 0, 2)
    assert kept(raw) == [("c", "some text")]


def test_a_change_of_cursor_reads_everything_once_more_and_says_why(memories, use, pull):
    insert(memories, "a")
    for chosen in CURSORS:
        use(chosen)
        result = pull()
        assert result.is_full
        assert result.full_because in (None, "the mapping or the cursor was changed")
        assert not pull().is_full
    assert "read whole: the mapping or the cursor was changed" in result.describe()


def test_a_slot_sees_deletions_changed_keys_and_truncations_by_itself(memories, use, pull, raw):
    use("logical_slot")
    insert(memories, "a", "b", "c")
    pull()
    memories.execute("delete from memories where memory_id = 'a'")
    memories.execute("update memories set memory_id = 'B' where memory_id = 'b'")
    result = pull()
    assert not result.is_reconciled
    assert counts(result) == (1, 0, 2)
    assert [memory_id for memory_id, _ in kept(raw)] == ["B", "c"]
    memories.execute("truncate memories")
    insert(memories, "d")
    assert pull().full_because == "the table was truncated"
    assert kept(raw) == [("d", "some text")]


def test_a_slot_keeps_long_texts_that_an_update_did_not_touch(memories, use, pull, raw):
    use("logical_slot")
    memories.execute("alter table memories alter content set storage external")
    insert(memories, "a", content="long " * 10_000)
    pull()
    memories.execute("update memories set importance = .5")
    assert counts(pull()) == (0, 1, 0)
    assert raw("select length(content), importance from raw.memories") == [(50_000, 0.5)]


def test_a_slot_takes_columns_that_come_and_types_that_change(memories, use, pull, raw):
    use("logical_slot")
    insert(memories, "a")
    pull()
    memories.execute("update memories set content = 'before'")
    memories.execute("alter table memories add column note text, alter column importance type double precision")
    memories.execute("update memories set content = 'after', note = 'n', importance = .25")
    pull()
    assert raw("select content, importance from raw.memories") == [("after", 0.25)]


def test_a_slot_whose_ids_got_another_name_reads_everything_again(memories, use, map_source, pull, raw):
    use("logical_slot")
    insert(memories, "a")
    pull()
    insert(memories, "b")
    memories.execute("alter table memories rename memory_id to name")
    with pytest.raises(SourceError, match="no column for memory_id"):
        pull()
    map_source("sources: {m: {table: public.memories, cursor: logical_slot, columns: {memory_id: name}}}")
    pull()
    assert [memory_id for memory_id, _ in kept(raw)] == ["a", "b"]


def test_hostile_ids_pass_through_a_slot_unharmed(memories, use, pull, raw):
    use("logical_slot")
    pull()
    ids = ["'; drop table memories; --", 'a"b', "a\\b", "{a,b}", "null", "$1 %s", "naïve 🧠 \u202e", "tab\t\nline", " "]
    insert(memories, *ids)
    pull()
    memories.execute("delete from memories where memory_id in ('null', 'a\\b')")
    pull()
    assert {memory_id for memory_id, _ in kept(raw)} == set(ids) - {"null", "a\\b"}


def test_a_slot_on_integers_and_partitions(pg, use, pull, raw):
    pg.execute(
        "create table memories (id bigint primary key, content text, created_at timestamptz default '2025-01-01') "
        "partition by range (id)"
    )
    pg.execute("create table low partition of memories for values from (0) to (10)")
    pg.execute("create table high partition of memories for values from (10) to (20)")
    use("logical_slot")
    pg.execute("insert into memories values (1, 'a'), (11, 'b')")
    pull()
    pg.execute("update memories set id = 12 where id = 1")
    pg.execute("delete from memories where id = 11")
    assert counts(pull()) == (1, 0, 2)
    assert kept(raw) == [("12", "a")]


def test_more_changes_than_are_worth_fetching_singly_read_the_table_whole(memories, use, pull, raw, monkeypatch):
    monkeypatch.setattr("biomem.source.cursors.logical_slot.MOST_IDS", 10)
    monkeypatch.setattr("biomem.source.cursors.logical_slot.MESSAGES_AT_ONCE", 3)
    use("logical_slot")
    pull()
    insert(memories, *(str(number) for number in range(11)))
    assert pull().full_because == "more than 10 rows changed since the last pull"
    assert len(kept(raw)) == 11
    assert pull().rows_read == 0


def test_a_slot_that_someone_else_read_from_is_noticed(memories, use, pull, raw):
    source = use("logical_slot")
    pull()
    insert(memories, "a")
    memories.execute(
        "select count(*) from pg_logical_slot_get_binary_changes(%s, null, null, 'proto_version', '1', "
        "'publication_names', %s)",
        [slots.slot_name(source)] * 2,
    )
    assert "has moved on" in pull().full_because
    assert [memory_id for memory_id, _ in kept(raw)] == ["a"]


def test_a_slot_is_made_and_dropped_on_request_and_missed_by_name(memories, use, dsn, pull):
    source = use("logical_slot")
    state = slots.slot_state(source, dsn)
    assert state.wal_status == "reserved"
    assert "of at most 4,096 MB" in state.describe()
    assert slots.create_slot(describe_source(source, dsn), dsn).name == state.name
    assert slots.drop_slot(source, dsn)
    assert not slots.drop_slot(source, dsn)
    with pytest.raises(SourceError, match="biomem source slot create --source m"):
        pull()


@pytest.mark.parametrize(
    ("ddl", "advice"),
    [
        ("alter table memories replica identity nothing", "replica identity full"),
        ("alter table memories drop constraint memories_pkey", "make it part of the primary key"),
        ("alter publication biomem_m drop table memories", "does not publish every change"),
        ("alter publication biomem_m set (publish = 'insert')", "does not publish every change"),
    ],
)
def test_what_would_make_a_slot_miss_changes_is_refused(memories, use, pull, ddl, advice):
    use("logical_slot")
    insert(memories, "a")
    pull()
    memories.execute(ddl)
    with pytest.raises(SourceError, match=advice):
        pull()


def test_no_slot_is_made_where_it_would_break_the_owners_updates(pg, settings, dsn, map_source):
    pg.execute("create table memories (memory_id text, content text, occurred_at timestamptz)")
    map_source("sources: {m: {table: public.memories, cursor: logical_slot}}")
    (source,) = load_sources(settings)
    with pytest.raises(SourceError, match="replica identity full"):
        slots.create_slot(describe_source(source, dsn), dsn)
    assert pg.execute("select count(*) from pg_publication").fetchone() == (0,)
    pg.execute("insert into memories values ('a', 'x', '2025-01-01')")
    pg.execute("update memories set content = 'still mine'")


def test_ids_from_an_expression_have_no_slot(memories, settings, dsn, map_source):
    map_source(
        "sources: {m: {table: public.memories, cursor: logical_slot, columns: {memory_id: {expression: \"'x' || "
        'memory_id"}}}}'
    )
    (source,) = load_sources(settings)
    with pytest.raises(SourceError, match="takes its ids from an expression"):
        slots.create_slot(describe_source(source, dsn), dsn)


def test_an_xid8_column_is_checked_and_its_trigger_overrules_what_is_written(memories, use, dsn, pull, raw):
    source = use("xid8_column")
    assert xid8_column.check(source, dsn) == []
    insert(memories, "a")
    pull()
    memories.execute("insert into memories (memory_id, occurred_at, row_xid) values ('b', '2025-01-01', '3')")
    memories.execute("update memories set content = 'edit', row_xid = null where memory_id = 'a'")
    assert counts(pull()) == (1, 1, 0)
    memories.execute("alter table memories disable trigger all")
    memories.execute("drop index memories_row_xid_idx")
    assert len(xid8_column.check(source, dsn)) == 2
    memories.execute("alter table memories drop column row_xid")
    with pytest.raises(SourceError, match="--print-ddl"):
        pull()


def test_the_ddl_runs_twice_on_a_table_with_a_hostile_name(pg, settings, dsn, map_source):
    pg.execute('create schema "a;b"')
    pg.execute('create table "a;b"."x""y\'; --" (id text primary key, content text, created_at timestamptz)')
    map_source(
        'sources: {"s\\nselect 1": {table: \'"a;b"."x""y\'\'; --"\', cursor: xid8_column, cursor_column: "r\\"x"}}'
    )
    (source,) = load_sources(settings)
    for _ in range(2):
        body, index = xid8_column.ddl(source).split("-- outside")
        pg.execute(body)
        pg.execute("create index" + index.split("create index")[1])
    assert xid8_column.check(source, dsn) == []
