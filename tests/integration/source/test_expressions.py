"""SQL expressions in a mapping: what they may say, and that nothing of them runs before PostgreSQL has parsed them."""

from __future__ import annotations

import json

import pytest
from biomem.errors import ConfigurationError, SourceError
from biomem.source.expressions import check_expression
from biomem.source.mapping import Column, load_sources
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg.pq import ExecStatus

T = "2025-06-01 12:00:00+00"


def mapping(**columns):
    return json.dumps({"sources": {"s": {"table": "memories", "columns": columns}}})


@pytest.fixture
def payloads(pg):
    pg.execute("create table memories (id uuid primary key, payload jsonb, tags text[])")
    pg.execute(
        "insert into memories values ('00000000-0000-0000-0000-000000000001', %s, '{a}')",
        [json.dumps({"data": "hello", "created_at": T, "user_id": "ada", "score": 0.5})],
    )
    return pg


@pytest.mark.parametrize(
    "text",
    [
        "payload->>'data'",
        "(payload->>'created_at')::timestamptz",
        "payload #>> '{a,b}'",
        "coalesce(summary, '') || E'\\n' || content",
        "\"select\" || 'it''s; -- no comment'",
        "tags[1]",
        "created_ms / 1e3",
        "extract(epoch from created_at)",
        "case when a > .5 then 'x' else U&'\\0061' end",
        "überschrift || text",
    ],
)
def test_an_expression_over_its_row_is_taken(text):
    check_expression(text, "here")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("a; drop table x", "cannot be read from '; drop tab' on"),
        ("a -- b", "cannot be read from '-- b' on"),
        ("a +-- b", "cannot be read from"),
        ("a /* b */", "cannot be read from"),
        ("$$a$$", "cannot be read from"),
        ("$1", "cannot be read from"),
        ("'a\0'", "cannot be read from"),
        ("1e'\\' || (select 1) || '", "cannot be read from"),
        ("E'a' \n 'b'", "two strings in a row"),
        ("a) from x where (true", "closes nothing"),
        ("(a", r"a \( of .* is not closed"),
        ("(a]", "closes nothing"),
        ("(select 1)", r"holds a subquery \(select\)"),
        ("(SeLeCt 1)", "holds a subquery"),
        ("(values (1))", "holds a subquery"),
        ("(table x)", "holds a subquery"),
        ("now()", r"asks the clock \(now\)"),
        ("current_date - 1", "asks the clock"),
        ("CURRENT_TIMESTAMP", "asks the clock"),
        ('pg_catalog."now" ()::text', "asks the clock"),
    ],
)
def test_what_is_more_than_an_expression_over_its_row_is_refused(text, reason):
    with pytest.raises(ConfigurationError, match=rf"here: .*{reason}"):
        check_expression(text, "here")


def test_expressions_are_pulled_with_the_type_that_postgresql_gives_them(payloads, pull, raw, map_source):
    map_source(
        mapping(
            id="id",
            content={"expression": "payload->>'data'"},
            occurred_at={"expression": "payload->>'created_at'"},
            agent_id={"expression": "payload->>'user_id'"},
            importance={"expression": "(payload->>'score')::numeric"},
            metadata={"expression": "payload - 'data' - 'created_at'"},
            session_id={"expression": "'constant'"},
        )
    )
    assert pull().rows_inserted == 1
    assert raw(
        "select content, occurred_at::varchar, agent_id, importance, metadata, session_id from raw.memories"
    ) == [("hello", T, "ada", 0.5, '{"score": 0.5, "user_id": "ada"}', "constant")]
    assert pull().rows_changed == 0


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("payload->>'data", "cannot be read from"),
        ("load->>'data'", 'column "load" does not exist.*correct it in source.yml'),
        ("payload->>", "syntax error"),
        ("payload->>'data' as x, id", "syntax error"),
        ("gen_random_uuid()::text", "calls gen_random_uuid, which is volatile"),
        ("pg_catalog . random()::text", "calls random, which is volatile"),
        ("unnest(tags)", "calls unnest, which returns several rows"),
        ("string_agg(payload->>'data', ',')", "calls string_agg, which combines several rows"),
        ("row_number() over ()", "calls row_number, which combines several rows"),
        ("app.touch(id)", "calls touch, which is volatile"),
        ("memories.touch", "calls touch, which is volatile"),
    ],
)
def test_an_expression_that_gives_no_fixed_value_is_refused_by_name_and_not_run(
    payloads, pull, map_source, expression, reason
):
    payloads.execute(
        "create table touched (n int); create schema app; create function app.touch(uuid) returns text language sql "
        "as 'insert into touched values (1) returning n::text'; create function touch(memories) returns text "
        "language sql as 'insert into touched values (1) returning n::text'"
    )
    map_source(mapping(content={"expression": expression}, occurred_at={"expression": "payload->>'created_at'"}))
    with pytest.raises((SourceError, ConfigurationError), match=f"content.*{reason}"):
        pull()
    assert payloads.execute("select count(*) from touched").fetchone() == (0,)


def test_nothing_of_an_expression_runs_before_it_was_checked(payloads, pull, map_source):
    # division by zero shows only when it is executed
    map_source(mapping(content={"expression": "(1 / 0)::text || (payload->>'no')::nonsense"}, occurred_at="id"))
    with pytest.raises(SourceError, match='type "nonsense" does not exist'):
        pull()


PIECES = st.sampled_from(
    [
        *(
            "a",
            "b",
            "'",
            "''",
            "'x'",
            '"',
            '"a"',
            "\\",
            "\\'",
            "E'",
            "e'",
            "U&'",
            "b'",
            "1",
            "1e",
            ".5",
            "1e5",
            "$",
            "$$",
        ),
        *(
            "$q$",
            "$1",
            "(",
            ")",
            "[",
            "]",
            ",",
            ";",
            "--",
            "-",
            "/*",
            "*/",
            "/",
            "*",
            "+",
            "||",
            "->>",
            "::",
            ":",
            ":=",
        ),
        *(
            "text",
            " ",
            "\n",
            "\t",
            "\u00a0",
            "\u2028",
            "ü",
            "select",
            "values (1)",
            "table t",
            "from t",
            "as c",
            "null",
        ),
        *("\ufeff", "\x0b", "\x0c", "\r", "{", "}", "?", "@>", "case when", "then", "end", "is", "in", "over ()"),
    ]
)


@hypothesis_settings(
    max_examples=3000, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(PIECES, min_size=1, max_size=9).map("".join))
def test_no_accepted_text_reaches_beyond_its_parentheses(connected, text):
    """Where PostgreSQL parses an accepted text at all, the words behind it are still what they were."""
    try:
        check_expression(text, "here")
    except ConfigurationError:
        return
    query = f"select ({text}), 'sentinel' as sentinel from t where 'also' = 'here'"
    result = connected.pgconn.prepare(b"", query.encode())
    if result.status == ExecStatus.COMMAND_OK:
        described = connected.pgconn.describe_prepared(b"")
        assert (described.nfields, described.fname(1), described.nparams) == (2, b"sentinel", 0), text


@pytest.fixture
def connected(pg):
    pg.execute("create table t (a text, b text)")
    return pg


def test_null_leaves_a_column_out_and_id_is_the_memorys_id(settings, map_source):
    map_source("sources: {s: {table: m, columns: {id: key, importance: null}}}")
    (source,) = load_sources(settings)
    assert source.columns == {"memory_id": Column(name="key"), "importance": Column()}


def test_each_cursor_has_its_own_settings(settings, map_source):
    map_source(
        "sources: {a: {table: m}, b: {table: m, cursor: xid8_column}, c: {table: m, cursor: logical_slot, slot: s_1}}"
    )
    cursors = [(source.cursor, source.cursor_column, source.slot) for source in load_sources(settings)]
    assert cursors == [("xmin_window", None, None), ("xid8_column", "row_xid", None), ("logical_slot", None, "s_1")]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("vector", "[1,0.1,-3e-5]", [1.0, 0.10000000149011612, -2.9999999242136255e-05]),
        ("halfvec", "[1,0.5]", [1.0, 0.5]),
        ("real[]", "{1,0.1}", [1.0, 0.10000000149011612]),
        ("double precision[]", "{1,2}", [1.0, 2.0]),
        ("integer[]", "{1,2}", [1.0, 2.0]),
        ("text", "[1,2]", None),
    ],
)
def test_the_sources_own_embedding_is_pulled(pg, pull, raw, kind, value, expected):
    pg.execute("drop extension if exists vector; create schema extensions; create extension vector schema extensions")
    kind = f"extensions.{kind}" if kind in ("vector", "halfvec") else kind
    pg.execute(f"create table memories (id int primary key, content text, occurred_at timestamptz, embedding {kind})")
    pg.execute("insert into memories values (1, 'x', %s, %s), (2, 'y', %s, null)", [T, value, T])
    assert pull().rows_inserted == 2
    assert raw("select embedding from raw.memories order by memory_id") == [(expected,), (None,)]
    assert pull().rows_changed == 0
