"""A source that tells when it was written: what it needs, and what is heard of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import psycopg
import pytest
from biomem.errors import ConfigurationError, SourceError
from biomem.source import wake_up
from biomem.source.doctor import FIX, OK, examine
from biomem.source.listen import listen
from biomem.source.mapping import load_sources

SOURCE = "sources: {s: {table: memories, wake_up: true}}"
INSERT = (
    "insert into memories (memory_id, content, occurred_at) select n::text, 'x', now() "
    "from generate_series(%s::int, %s) n"
)
QUIET_S = 1.0


def told(dsn, channels, *writes):
    """How many signals each of the writes, one after the other, is heard as."""

    async def hear():
        counts = []
        async with aclosing(listen(dsn, channels)) as signals:
            assert await anext(signals) is False
            following = None
            for write in writes:
                await asyncio.to_thread(write)
                counts.append(0)
                while True:
                    following = following or asyncio.ensure_future(anext(signals))
                    done, _ = await asyncio.wait([following], timeout=QUIET_S)
                    if not done:
                        break
                    counts[-1] += following.result()
                    following = None
            if following is not None:
                following.cancel()
                await asyncio.wait([following])
        return counts

    return asyncio.run(asyncio.wait_for(hear(), 60))


@pytest.fixture
def source(memories, settings, map_source):
    map_source(SOURCE)
    (found,) = load_sources(settings)
    return found


@pytest.fixture
def waking(source, memories):
    memories.execute(wake_up.ddl(source))
    return source


def test_each_burst_is_told_once_and_what_is_rolled_back_never(waking, dsn):
    def one_transaction():
        with psycopg.connect(dsn) as pg:
            pg.execute(INSERT, [1, 10_000])

    def many_transactions():
        with psycopg.connect(dsn, autocommit=True) as pg:
            for number in range(10_001, 10_051):
                pg.execute(INSERT, [number, number])

    def rolled_back():
        with psycopg.connect(dsn) as pg:
            pg.execute(INSERT, [20_000, 20_010])
            pg.rollback()

    def change_and_delete():
        with psycopg.connect(dsn) as pg:
            pg.execute("update memories set content = 'y' where memory_id = '1'")
            pg.execute("delete from memories where memory_id = '2'")

    writes = (one_transaction, many_transactions, rolled_back, change_and_delete)
    assert told(dsn, [wake_up.channel(waking)], *writes) == [1, 1, 0, 1]


def test_a_source_without_the_trigger_never_tells(source, memories, dsn):
    assert told(dsn, [wake_up.channel(source)], lambda: memories.execute(INSERT, [1, 10])) == [0]


def test_a_server_that_goes_away_is_an_error_without_the_password(waking, memories, dsn):
    guarded = psycopg.conninfo.make_conninfo(dsn, password="s3cret")

    async def hear():
        async with aclosing(listen(guarded, [wake_up.channel(waking)])) as signals:
            assert await anext(signals) is False
            ended = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen%'"
            await asyncio.to_thread(memories.execute, ended)
            await anext(signals)

    with pytest.raises(SourceError, match="went away") as caught:
        asyncio.run(asyncio.wait_for(hear(), 30))
    assert "s3cret" not in str(caught.value)


def test_the_sql_runs_twice_and_on_a_table_with_a_hostile_name(pg, dsn, settings, map_source):
    pg.execute('create schema "a;b"')
    pg.execute('create table "a;b"."x""y\'; --" (id text primary key, content text, created_at timestamptz)')
    map_source('sources: {"s\\nselect 1": {table: \'"a;b"."x""y\'\'; --"\', wake_up: true}}')
    (source,) = load_sources(settings)
    for _ in range(2):
        pg.execute(wake_up.ddl(source))
    assert wake_up.find_problem(pg, source) is None
    write = 'insert into "a;b"."x""y\'; --" values (\'1\', \'c\', now())'
    assert told(dsn, [wake_up.channel(source)], lambda: pg.execute(write)) == [1]


def test_who_may_only_write_the_table_tells_too(waking, memories, dsn):
    memories.execute("create role writes_only")
    try:
        memories.execute("grant insert on memories to writes_only")

        def write():
            with psycopg.connect(dsn) as pg:
                pg.execute("set role writes_only")
                pg.execute(INSERT, [1, 10])

        assert told(dsn, [wake_up.channel(waking)], write) == [1]
    finally:
        memories.execute("drop owned by writes_only; drop role writes_only")


def test_the_doctor_and_the_command_say_when_nothing_wakes(source, memories, dsn, biomem):
    def findings():
        found = examine(dsn, [source])[1].findings
        return [(one.status, one.text, one.fix or "") for one in found if one.check == "wake-up"]

    ((status, text, fix),) = findings()
    assert status == FIX
    assert "has no trigger" in text
    assert "--print-ddl --source s" in fix
    assert isinstance(biomem("source", "wake-up").error, SourceError)
    memories.execute(biomem("source", "wake-up", "--print-ddl").stdout)
    assert findings()[0][0] == OK
    assert biomem("source", "wake-up").exit_code == 0
    memories.execute("alter table memories disable trigger biomem_memories_wake_up")
    assert "is disabled" in findings()[0][1]


def test_a_source_that_is_not_to_wake_is_left_alone(memories, map_source, settings, dsn, biomem):
    map_source("sources: {s: {table: memories}}")
    (source,) = load_sources(settings)
    assert not source.wake_up
    assert "wake-up" not in {one.check for one in examine(dsn, [source])[1].findings}
    assert isinstance(biomem("source", "wake-up").error, ConfigurationError)
    map_source("sources: {s: {table: memories, wake_up: 'yes'}}")
    with pytest.raises(ConfigurationError, match="wake_up must be true or false"):
        load_sources(settings)
