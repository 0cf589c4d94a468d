"""Access logs of one's own: appended once, kept apart from the target's and from each other."""

from __future__ import annotations

import psycopg
from biomem.warehouse.target_schema import ensure_target_schema

T = "2025-06-01 12:00:00+00"


def test_accesses_are_appended_once_beside_the_targets_own(memories, biomem, dsn, raw, map_source):
    ensure_target_schema(dsn)
    memories.execute(
        "create table recalls (id text primary key, memory_id text, recalled_at timestamptz, rating int); "
        "create table views (id int primary key, memory text, at bigint, how text)"
    )
    map_source(
        "sources: {m: {table: memories}, 'my~log': {kind: access_log, table: recalls}, "
        "views: {kind: access_log, table: views, agent_id: ada, columns: {accessed_at: at, kind: how}}}"
    )
    log = "insert into memory.access_log (memory_id, agent_id, accessed_at) values ('a', 'milo', %s)"
    memories.execute(log, [T])
    memories.execute("insert into recalls values ('1', 'a', %s, 4), ('a~b', 'a', %s, null)", [T, T])
    memories.execute("insert into views values (1, 'a', 1748779260, 'restudy'), (2, 'a', 1748779260, 'glance')")
    done = biomem("source", "pull", "--as-of", "2026-01-01")
    assert done.exit_code == 0, done.error
    assert "views: 1 inserted" in done.stderr
    assert "NOT TAKEN: 1 with a kind other than retrieve and restudy (e.g. 2)" in done.stderr
    memories.execute("insert into recalls values ('3', 'b', %s, 1)", [T])
    assert biomem("source", "pull").exit_code == 0
    columns = "access_id, memory_id, agent_id, accessed_at::varchar, kind, grade"
    assert raw(f"select {columns} from raw.access_log order by 1") == [
        ("1", "a", "milo", T, "retrieve", 3),
        ("my%7Elog:1", "a", "default", T, "retrieve", 4),
        ("my%7Elog:3", "b", "default", T, "retrieve", 1),
        ("my%7Elog:a%7Eb", "a", "default", T, "retrieve", 3),
        ("views:1", "a", "ada", "2025-06-01 12:01:00+00", "restudy", 3),
    ]


def test_rows_that_come_again_in_the_window_are_known(memories, dsn, pull, raw, map_source):
    memories.execute("create table recalls (id text primary key, memory_id text, recalled_at timestamptz)")
    map_source("sources: {log: {kind: access_log, table: recalls}}")
    with psycopg.connect(dsn) as slow:
        slow.execute("insert into recalls values ('late', 'a', %s)", [T])
        memories.execute("insert into recalls values ('~1', 'a', %(t)s), ('2', 'a', %(t)s), ('', 'b', %(t)s)", {"t": T})
        for expected in (3, 0, 0):
            result = pull()
            assert (result.rows_read, result.rows_inserted) == (3, expected)
        slow.commit()
    assert pull().rows_inserted == 1
    assert raw("select count(*) from raw.access_log") == [(4,)]


def test_accesses_that_cannot_be_taken_are_told(memories, pull, map_source):
    memories.execute("create table recalls (id text, memory_id text, recalled_at timestamptz, rating int)")
    memories.execute(
        "insert into recalls values ('a', null, %(t)s, 1), (null, 'm', %(t)s, 1), ('c', 'm', 'infinity', 1), "
        "('d', 'm', %(t)s, 7)",
        {"t": T},
    )
    map_source("sources: {log: {kind: access_log, table: recalls}}")
    result = pull()
    assert (result.rows_inserted, result.rows_skipped) == (
        0,
        {
            "no memory id": 1,
            "no id": 1,
            "a time outside the years 1 to 9999": 1,
            "a grade other than 1, 2, 3 and 4": 1,
        },
    )
    assert "NOT TAKEN" in result.describe()
