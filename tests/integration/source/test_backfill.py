"""A table too big to be read in one go: in portions, from one snapshot, resumed after a kill, the same in the end."""

from __future__ import annotations

import re

import psycopg
import pytest
from biomem.errors import SourceError
from biomem.source import backfill
from biomem.source.mapping import CURSORS, load_sources
from biomem.source.pull import pull_source
from biomem.warehouse.connection import open_warehouse

ROWS = 2_000
READ = 'select memory_id, content from memories order by memory_id collate "C"'
KEPT = "select memory_id, content from raw.memories where deleted_at is null and text_arousal is not null order by 1"


class Cut(Exception):
    """The process dies here."""


@pytest.fixture(autouse=True)
def small_portions(monkeypatch):
    monkeypatch.setattr("biomem.source.extent.BIG_BYTES", 100_000)
    monkeypatch.setattr("biomem.source.extent.PORTION_BYTES", 100_000)
    monkeypatch.setattr("biomem.source.scoring.WAITING_AT_ONCE", 700)


@pytest.fixture
def big(memories):
    memories.execute(
        "insert into memories (memory_id, content, occurred_at) select 'm' || n, repeat(md5(n::text), 5), "
        f"timestamptz '2025-01-01' + n * interval '1 minute' from generate_series(1, {ROWS}) as n"
    )
    return memories


@pytest.fixture
def pull_reporting(settings, dsn):
    """Pull once, telling `report` how far it has come."""

    def pull(report):
        with open_warehouse(settings) as con:
            return pull_source(con, load_sources(settings)[0], dsn=dsn, report=report)

    return pull


@pytest.fixture
def cut_after(pull_reporting):
    """A pull that dies after so many reports of a step; what happens meanwhile in the source is up to `meanwhile`."""

    def cut(step, reports, meanwhile=None):
        left = reports

        def report(progress):
            nonlocal left
            left -= progress.step == step
            if meanwhile:
                meanwhile()
            if left == 0:
                raise Cut

        with pytest.raises(Cut):
            pull_reporting(report)

    return cut


def test_a_big_table_arrives_whole_with_its_progress_told(big, pull_reporting, raw):
    told = []
    result = pull_reporting(told.append)
    assert (result.rows_read, result.rows_inserted, result.is_full) == (ROWS, ROWS, True)
    assert raw(KEPT) == big.execute(READ).fetchall()
    assert raw("select count(*) from raw.backfills") == [(0,)]
    assert raw("select count(*) from raw.agents") == [(1,)]
    read = [progress for progress in told if progress.step == "read"]
    assert len(read) > 3
    assert [progress.done for progress in read] == sorted(progress.done for progress in read)
    assert read[-1].done == read[-1].total == ROWS
    assert re.fullmatch(
        r"public\.memories: read [\d,]+ of [\d,]+ rows, [\d,]+ rows/s, \d+:\d\d:\d\d remaining", read[0].describe()
    )
    assert {progress.step for progress in told} == {"read", "encoded"}
    assert pull_reporting(told.append).rows_read == 0


def test_every_row_of_a_backfill_is_in_a_batch_that_the_models_take_up(big, pull_reporting, raw):
    pull_reporting(lambda _: None)
    assert raw(
        "select count(*), count(distinct batch_id) from raw.memories where batch_id in (select batch_id from raw.pulls)"
    ) == [(ROWS, 3)]
    assert raw("select sum(rows_inserted) from raw.pulls") == [(ROWS,)]


@pytest.mark.parametrize("step", ["read", "encoded"])
def test_a_backfill_that_is_cut_short_goes_on_where_it_was(big, cut_after, pull_reporting, raw, step):
    cut_after(step, 2)
    told = []
    result = pull_reporting(told.append)
    assert raw(KEPT) == big.execute(READ).fetchall()
    assert 0 < told[0].done_before < ROWS or step == "encoded"
    assert result.rows_read < ROWS
    assert raw("select count(*) from raw.revisions") == [(0,)]
    assert raw("select sum(rows_inserted), sum(rows_updated) from raw.pulls") == [(ROWS, 0)]


def test_no_model_sees_a_row_before_the_backfill_is_done(big, cut_after, raw):
    cut_after("read", 3)
    assert raw("select count(*) > 0 from raw.memories") == [(True,)]
    assert raw(KEPT) == []
    assert raw("select count(*) from raw.pulls") == [(0,)]


@pytest.mark.parametrize("cursor", CURSORS)
def test_what_is_written_during_a_backfill_in_several_sessions_is_not_lost(
    big, cut_after, pull_reporting, pull, raw, cursor, settings, map_source, dsn
):
    from biomem.source.cursors import slots, xid8_column
    from biomem.source.reading import describe_source

    map_source(f"sources: {{m: {{table: public.memories, cursor: {cursor}}}}}")
    (source,) = load_sources(settings)
    if cursor == "xid8_column":
        big.execute(xid8_column.ddl(source).split("-- outside")[0])
    if cursor == "logical_slot":
        slots.create_slot(describe_source(source, dsn), dsn)
    turn = 0

    def write():
        nonlocal turn
        turn += 1
        # rows of pages that were read and that were not, which move; deletions and insertions of both
        big.execute("update memories set content = %s where substr(memory_id, 2)::int %% 37 = %s", [f"e{turn}", turn])
        big.execute("delete from memories where substr(memory_id, 2)::int %% 41 = %s", [turn])
        big.execute("insert into memories (memory_id, content, occurred_at) values (%s, 'n', now())", [f"n{turn}"])
        big.execute("vacuum memories")

    for _ in range(3):
        cut_after("read", 2, write)
    pull_reporting(lambda _: write())
    pull(reconcile=True)
    assert turn >= 9
    assert raw(KEPT) == big.execute(READ).fetchall()
    assert raw("select count(*) - count(distinct memory_id) from raw.memories") == [(0,)]


def test_a_table_that_was_rewritten_between_two_sessions_is_begun_anew(big, cut_after, pull_reporting, raw):
    cut_after("read", 3)
    # the last rows come to lie on the first pages, which were read already
    big.execute("delete from memories where substr(memory_id, 2)::int <= 500")
    big.execute("vacuum full memories")
    told = []
    pull_reporting(told.append)
    assert told[0].done_before == 0
    assert raw(KEPT) == big.execute(READ).fetchall()


def test_a_big_table_that_must_be_read_again_is_compared_in_portions(big, pull_reporting, raw, map_source):
    pull_reporting(lambda _: None)
    big.execute("delete from memories where memory_id = 'm1'")
    big.execute("update memories set content = 'edit' where memory_id = 'm2'")
    map_source("sources: {public.memories: {table: public.memories, agent_id: default, columns: {arousal: null}}}")
    result = pull_reporting(lambda _: None)
    assert (result.rows_inserted, result.rows_updated, result.rows_deleted) == (0, 1, 1)
    assert raw(KEPT) == big.execute(READ).fetchall()
    assert raw("select memory_id from raw.revisions") == [("m2",)]


def test_rows_that_cannot_be_taken_are_told_at_the_end_of_a_backfill(big, pull_reporting, raw):
    big.execute("update memories set occurred_at = null where memory_id in ('m3', 'm1999')")
    result = pull_reporting(lambda _: None)
    assert result.rows_skipped == {"no time": 2}
    assert raw("select count(*) from raw.memories") == [(ROWS - 2,)]


def test_a_partitioned_table_is_read_in_portions_too(pg, pull_reporting, raw):
    pg.execute(
        "create table memories (memory_id text primary key, content text, occurred_at timestamptz) "
        "partition by hash (memory_id)"
    )
    for number in range(3):
        pg.execute(f"create table part{number} partition of memories for values with (modulus 3, remainder {number})")
    pg.execute(
        "insert into memories select 'm' || n, repeat('x', 200), timestamptz '2025-01-01' "
        f"from generate_series(1, {ROWS}) as n"
    )
    told = []
    pull_reporting(told.append)
    assert len([progress for progress in told if progress.step == "read"]) > 2
    assert raw(KEPT) == pg.execute(READ).fetchall()


def test_one_snapshot_is_read_and_the_session_says_who_it_is(big, dsn, pull_reporting, raw):
    seen = []

    def look(progress):
        if progress.step == "read":
            big.execute("update memories set content = 'late' where memory_id = 'm2000'")
            seen.append(
                big.execute(
                    "select count(distinct backend_xmin::text), min(application_name) from pg_stat_activity "
                    "where state = 'idle in transaction' and application_name = 'biomem'"
                ).fetchone()
            )

    pull_reporting(look)
    assert set(seen) == {(1, "biomem")}
    assert ("m2000", "late") not in raw(KEPT)
    pull_reporting(look)
    assert ("m2000", "late") in raw(KEPT)


def test_a_role_that_loses_its_right_amid_a_backfill_keeps_what_was_read(big, postgres, dsn, settings, raw):
    big.execute("drop role if exists reader; create role reader login; grant select on memories to reader")
    reader = psycopg.conninfo.make_conninfo(dsn, user="reader")

    def revoke(progress):
        big.execute("revoke select on memories from reader")

    def run(report):
        with open_warehouse(settings) as con:
            return pull_source(con, load_sources(settings)[0], dsn=reader, report=report)

    with pytest.raises(SourceError, match="permission denied"):
        run(revoke)
    assert raw("select next_page > 0, rows_read > 0 from raw.backfills") == [(True, True)]
    with pytest.raises(SourceError, match="grant select on"):
        run(revoke)
    big.execute("grant select on memories to reader")
    run(lambda _: None)
    assert raw(KEPT) == big.execute(READ).fetchall()
    big.execute("drop owned by reader; drop role reader")


def test_the_snapshot_is_given_back_when_a_portion_fails(big, monkeypatch, pull_reporting):
    def fail(*_):
        raise Cut

    monkeypatch.setattr(backfill, "_save", fail)
    with pytest.raises(Cut):
        pull_reporting(lambda _: None)
    assert big.execute(
        "select count(*) from pg_stat_activity where application_name = 'biomem' and state like 'idle in%'"
    ).fetchone() == (0,)
