"""`biomem source doctor`: every ailment is named with its fix, and the exit code tells."""

from __future__ import annotations

import json

import psycopg
import pytest
from biomem.errors import SourceError
from biomem.source.cursors import xid8_column
from biomem.source.doctor import FIX, OK, WARN, examine
from biomem.source.doctor import rows as doctor_rows
from biomem.source.doctor import server as doctor_server
from biomem.source.doctor.table import recommend
from biomem.source.mapping import SourceTable, load_sources

T = "2025-06-01 12:00:00+00"


@pytest.fixture
def examined(pg, dsn, settings):
    """All findings by check, of server and sources; several of a check in a list."""

    def look(user=None):
        conninfo = psycopg.conninfo.make_conninfo(dsn, **({"user": user} if user else {}))
        found = {}
        for examination in examine(conninfo, load_sources(settings)):
            for finding in examination.findings:
                found.setdefault(finding.check, []).append((finding.status, finding.text, finding.fix))
        return found

    return look


def only(found, check):
    (finding,) = found[check]
    return finding


def test_a_healthy_source_is_all_ok_and_ends_with_0(memories, examined, biomem):
    memories.execute("insert into memories (memory_id, content, occurred_at) values ('a', 'x', %s)", [T])
    assert {status for findings in examined().values() for status, _, _ in findings} == {OK}
    done = biomem("source", "doctor")
    assert done.exit_code == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "1 of 1 can be taken" in done.stdout
    assert "xmin_window is right" in done.stdout


def test_what_must_be_mended_ends_with_1_and_json_says_it_too(pg, biomem):
    done = biomem("source", "doctor", "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert not document["is_healthy"]
    server, table = document["examinations"]
    assert server["source"] is None
    assert "there is no table public.memories" in table["findings"][0]["text"]
    assert table["findings"][0]["status"] == FIX


def test_a_warning_does_not_fail(pg, biomem):
    pg.execute("create table memories (id int, content text, created_at timestamptz)")
    done = biomem("source", "doctor")
    assert done.exit_code == 0
    assert '-> create unique index concurrently on "public"."memories" ("id")' in done.stdout


def test_every_source_is_examined_beside_a_broken_one(memories, examined, map_source):
    map_source("sources: {a: {table: nowhere}, b: {table: memories}}")
    broken, whole = examined()["table"]
    assert broken[0] == FIX
    assert whole[0] == OK


def test_a_view_a_missing_column_and_a_bad_expression_are_sentences(memories, examined, map_source):
    memories.execute("create view shown as select * from memories")
    map_source(
        "sources: {a: {table: shown}, b: {table: memories, columns: {content: words}}, "
        "c: {table: memories, columns: {content: {expression: no + 1}}}}"
    )
    texts = [text for _, text, _ in examined()["table"]]
    assert "base table instead: public.memories" in texts[0]
    assert "column 'words', mapped to content, is not in public.memories" in texts[1]
    assert "the expression for content, 'no + 1', is not understood by PostgreSQL" in texts[2]


def test_missing_rights_are_told_with_the_grant(memories, examined):
    name = f"poor_{memories.info.dbname}"
    memories.execute(f"create role {name} login")
    try:
        status, text, _ = only(examined(name), "table")
        assert (status, f'grant select on "public"."memories" to "{name}"' in text) == (FIX, True)
    finally:
        memories.execute(f"drop role {name}")


def test_row_security_that_hides_rows_is_told(memories, examined):
    name = f"narrow_{memories.info.dbname}"
    memories.execute(f"create role {name} login; grant select on memories to {name}")
    memories.execute("alter table memories enable row level security")
    try:
        status, text, fix = only(examined(name), "row security")
        assert (status, "hidden later counts as deleted" in text) == (WARN, True)
        assert 'create policy biomem_reads on "public"."memories"' in fix
        assert only(examined(), "row security")[0] == OK
    finally:
        memories.execute(f"drop owned by {name}; drop role {name}")


def test_a_key_that_is_none_is_told_with_the_duplicates(pg, examined):
    pg.execute("create table memories (id int, content text, created_at timestamptz)")
    pg.execute("insert into memories select 7, 'x', now() from generate_series(1, 2)")
    status, text, fix = only(examined(), "key")
    assert (status, "('7')" in text) == (FIX, True)
    assert fix.startswith("remove them; create unique index")


def test_an_id_made_by_an_expression_is_told_without_an_index_that_would_not_help(pg, examined, map_source):
    pg.execute("create table memories (tenant int, no int, content text, created_at timestamptz)")
    pg.execute("insert into memories values (1, 1, 'x', now()), (2, 1, 'x', now())")
    map_source("sources: {s: {table: memories, columns: {id: {expression: \"tenant || '/' || no\"}}}}")
    assert only(examined(), "key")[::2] == (WARN, None)
    map_source("sources: {s: {table: memories, columns: {id: {expression: no + 0}}}}")
    status, text, fix = only(examined(), "key")
    assert (status, "('1')" in text, "make the expression tell them apart" in fix) == (FIX, True, True)


def test_rows_that_are_not_taken_are_counted_with_an_example(pg, examined):
    pg.execute("create table memories (id text, content text, created_at timestamptz)")
    pg.execute("insert into memories values ('a', 'x', now()), ('never', 'x', 'infinity'), (null, 'x', now())")
    found = examined()["rows"]
    assert found[0][:2] == (OK, "1 of 3 can be taken")
    assert [text for status, text, _ in found if status == WARN] == [
        "1 of 3 are not taken: a time outside the years 1 to 9999 (e.g. 'never')",
        "1 of 3 are not taken: no id",
    ]


def test_milliseconds_taken_for_seconds_are_told_with_the_expression(pg, examined):
    pg.execute("create table memories (id int primary key, content text, ts bigint)")
    pg.execute("insert into memories values (1, 'x', 1748779200000)")
    assert examined()["rows"] == [
        (
            WARN,
            "1 of 1 are not taken: a time outside the years 1 to 9999 (e.g. '1')",
            'milliseconds? occurred_at: {expression: "to_timestamp("ts" / 1000.0)"}',
        )
    ]


def test_a_text_that_is_no_time_is_told_with_its_column(pg, examined):
    pg.execute("create table memories (id int primary key, content text, created_at text, updated_at text)")
    pg.execute("insert into memories values (1, 'x', '2025-01-01', '01/02/2025')")
    status, text, _ = only(examined(), "rows")
    assert status == FIX
    assert "column public.memories.updated_at cannot be read as updated_at, so nothing is pulled" in text
    assert '"01/02/2025"' in text


def test_what_would_change_on_the_way_is_counted_by_column(pg, examined):
    pg.execute(
        "create table memories (id int primary key, content text, created_at timestamptz, importance numeric, "
        "arousal real, updated_at timestamptz, tags text[], embedding real[])"
    )
    pg.execute(
        "insert into memories values (1, 'x', now(), 'NaN', 'infinity', '-infinity', '{{a},{b}}', '{1,NULL}'), "
        "(2, 'x', now(), 0.12345678901234567890123456789, .5, now(), '{a}', '{1,2}'), "
        "(3, 'x', now(), 1e400, .5, '20000-01-01', null, '{1,2,3}'), (4, 'x', now(), .5, null, null, '{}', null)"
    )
    told = [text.removeprefix("column public.memories.") for status, text, _ in examined()["types"] if status == WARN]
    assert told == [
        "updated_at, 2 values are outside the years 1 to 9999: taken as none",
        "importance, 2 values are no number (NaN, infinite or beyond a double): taken as none",
        "importance, 1 values have more digits than a double precision keeps: rounded",
        "arousal, 1 values are no number (NaN, infinite or beyond a double): taken as none",
        "tags, 1 arrays have several dimensions: read as one list",
        "embedding, 1 values are no vector (a hole, an infinity, two dimensions, empty): taken as none",
        "embedding, 2 different lengths of vectors: only vectors of one model can be compared",
    ]


def test_times_without_a_zone_are_told_where_the_server_lives_elsewhere(pg, examined):
    pg.execute("create table memories (id int primary key, content text, created_at timestamp)")
    assert "time zone" not in examined()
    pg.execute(f"alter database {pg.info.dbname} set timezone = 'Europe/Berlin'")
    status, text, fix = only(examined(), "time zone")
    assert (status, "read as UTC, but sessions of this server live in Europe/Berlin" in text) == (WARN, True)
    assert fix.endswith("""occurred_at: {expression: "\"created_at\" at time zone 'Europe/Berlin'"}""")


def test_an_unlogged_table_is_told(pg, examined):
    pg.execute("create unlogged table memories (id int primary key, content text, created_at timestamptz)")
    assert only(examined(), "table")[0] == WARN


@pytest.mark.parametrize(
    ("ddl", "kind"),
    [
        (
            "create table memories (id int primary key, content text, created_at timestamptz) partition by hash (id)",
            "partit",
        ),
        (
            "create materialized view memories as select 1 as id, 'x' as content, now() as created_at",
            "materialized view",
        ),
    ],
)
def test_other_kinds_of_tables_are_named(pg, examined, ddl, kind):
    pg.execute(ddl)
    status, text, _ = only(examined(), "table")
    assert (status, text.startswith(kind)) == (OK, True)


def test_a_transaction_that_is_open_for_long_is_told_with_its_process(memories, dsn, examined, monkeypatch):
    monkeypatch.setattr(doctor_server, "LONG_TRANSACTION_S", 0)
    with psycopg.connect(dsn) as open_one:
        open_one.execute("insert into memories (memory_id, occurred_at) values ('a', now())")
        pid = open_one.info.backend_pid
        told = [(status, fix) for status, text, fix in examined()["open"] if f"process {pid} " in text]
        assert told
        assert told[0][0] == WARN
        assert f"pg_terminate_backend({pid})" in told[0][1]


def test_a_server_near_wraparound_is_told(memories, examined, monkeypatch):
    assert only(examined(), "transactions")[0] == OK
    monkeypatch.setattr(doctor_server, "XIDS_TO_WATCH", 1)
    assert only(examined(), "transactions")[0] == WARN
    monkeypatch.setattr(doctor_server, "XIDS_TO_ACT", 1)
    assert only(examined(), "transactions")[0] == FIX


def test_a_clock_that_is_off_is_told(memories, examined, monkeypatch):
    now = doctor_server.time.time
    monkeypatch.setattr(doctor_server.time, "time", lambda: now() - 125)
    status, text, _ = only(examined(), "clock")
    assert (status, "2 min ahead of this machine" in text) == (WARN, True)


def test_settings_that_a_pooler_drops_must_be_mended(memories, examined, monkeypatch):
    monkeypatch.setattr(doctor_server, "SESSION_LIMITS", {**doctor_server.SESSION_LIMITS, "TimeZone": "Elsewhere"})
    status, text, _ = only(examined(), "connection")
    assert (status, "TimeZone" in text) == (FIX, True)


def test_a_large_table_is_judged_by_a_sample_and_advised_another_cursor(memories, examined, monkeypatch):
    memories.execute(
        "insert into memories (memory_id, content, occurred_at) select n::text, repeat('x', 300), now() "
        "from generate_series(1, 20000) n; analyze memories"
    )
    monkeypatch.setattr(doctor_rows, "EXAMINED_ROWS", 5000)
    monkeypatch.setattr("biomem.source.doctor.table.LARGE_TABLE_ROWS", 10_000)
    found = examined()
    count = int(found["rows"][0][1].split(" ")[0].replace(",", ""))
    assert 1000 < count < 15_000
    assert "of a sample of" in found["rows"][0][1]
    status, text, fix = only(found, "cursor")
    assert (status, "scans all of about 20,000 rows" in text, "xid8_column" in fix) == (WARN, True, True)


def test_a_cursor_that_lacks_what_it_needs_must_be_mended(memories, examined, map_source, settings):
    map_source("sources: {s: {table: memories, cursor: xid8_column}}")
    status, text, fix = only(examined(), "cursor")
    assert (status, "lacks column 'row_xid' of type xid8" in text) == (FIX, True)
    assert "biomem source cursor --print-ddl --source s" in fix
    (source,) = load_sources(settings)
    for statement in xid8_column.ddl(source).split("commit;"):
        memories.execute(statement.replace("begin;", ""))
    assert only(examined(), "cursor")[:2] == (OK, "xid8_column has its column, trigger and index")
    map_source("sources: {s: {table: memories, cursor: logical_slot, slot: not_made}}")
    status, text, fix = only(examined(), "cursor")
    assert (status, text) == (FIX, "logical_slot: there is no slot not_made")
    assert "biomem source slot create --source s" in fix


def test_a_materialized_view_needs_no_other_cursor_however_large():
    assert recommend(SourceTable("s", "public", "m"), 10_000_000, "m").status == OK


def test_a_server_that_does_not_answer_is_one_sentence(settings):
    with pytest.raises(SourceError, match="does not answer"):
        examine("host=/nowhere dbname=d user=u password=hidden", load_sources(settings))


def test_an_access_log_is_examined_as_one(pg, examined, map_source):
    pg.execute("create table log (id int primary key, memory_id text, accessed_at timestamptz, grade int)")
    pg.execute("insert into log values (1, 'a', now(), 3), (2, 'a', now(), 9), (3, null, now(), null)")
    map_source("sources: {log: {kind: access_log, table: log}}")
    assert [text for _, text, _ in examined()["rows"]] == [
        "1 of 3 can be taken",
        "1 of 3 are not taken: a grade other than 1, 2, 3 and 4 (e.g. '2')",
        "1 of 3 are not taken: no memory id (e.g. '3')",
    ]


def test_hostile_names_and_values_do_no_harm_to_the_terminal(pg, biomem, map_source):
    pg.execute('create table "t\x1b[2Jx" ("i\nd" text, content text, created_at timestamptz)')
    pg.execute("""insert into "t\x1b[2Jx" values (E'\\x1b[31m', 'x', null)""")
    map_source('sources: {"s\\n[bold]": {table: "t\\e[2Jx", columns: {id: "i\\nd"}}}')
    done = biomem("source", "doctor")
    assert done.exit_code == 0, done.error
    assert "\x1b" not in done.stdout
    assert "[bold]" in done.stdout
