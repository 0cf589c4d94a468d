"""Every type that a memory table may hold, in every role: it arrives exactly, or is refused by its column's name."""

from __future__ import annotations

import json
import re

import pytest
from biomem.errors import SourceError
from biomem.source.mapping import Column, SourceTable
from biomem.source.reading import describe_source

T = "timestamptz '2025-06-01 12:00:00+00'"
TYPES = """
    create extension if not exists vector;
    create type mood as enum ('calm', 'it''s; --');
    create type pair as (a int, b text);
    create domain short as text check (length(value) < 100);
    create domain shorter as short;
    create domain marks as text[];
"""
UNUSUAL = (
    "e\N{COMBINING ACUTE ACCENT} \N{ARABIC LETTER MEEM}\N{RIGHT-TO-LEFT OVERRIDE} \N{GRINNING FACE}"
    "\N{ZERO WIDTH JOINER} ''"
)
WIDE = "123456789012345678901234567890123456789012.5"


@pytest.fixture
def arrives(pg, pull, raw, map_source):
    """Pull one table per value, each with the value in one role; what arrived in the warehouse, in order."""

    def load(role, wanted, values):
        names = {"memory_id": "id", "content": "content", "occurred_at": "ts"}
        columns = {"id": "text", "content": "text", "ts": "timestamptz"}
        sources = {}
        for number, (kind, value) in enumerate(values):
            mine = {**columns, names.get(role, role): kind}
            ours = {**names, role: names.get(role, role)}
            pg.execute(f"create table t{number} ({', '.join(f'{name} {type_}' for name, type_ in mine.items())})")
            filled = {"id": f"'{number}'", "content": "'x'", "ts": T, names.get(role, role): value}
            pg.execute(f"insert into t{number} ({', '.join(filled)}) values ({', '.join(filled.values())})")
            sources[f"s{number:03}"] = {"table": f"t{number}", "columns": ours}
        map_source(json.dumps({"sources": sources}))
        pull()
        found = dict(raw(f"select source_name, {wanted} from raw.memories"))
        return [found.get(f"s{number:03}", "not taken") for number in range(len(values))]

    return load


def check(arrives, role, wanted, cases):
    """`cases` are (type, value as SQL, what arrives)."""
    arrived = arrives(role, wanted, [(kind, value) for kind, value, _ in cases])
    assert [(*case[:2], got) for case, got in zip(cases, arrived, strict=True)] == cases


@pytest.fixture(autouse=True)
def types(pg):
    pg.execute(TYPES)


def test_content_arrives_as_its_text(arrives):
    check(
        arrives,
        "content",
        "content",
        [
            ("text", f"'{UNUSUAL}'", UNUSUAL.replace("''", "'")),
            ("text", "E'a\\tb\\r\\nc\\\\d\\x01'", "a\tb\r\nc\\d\x01"),
            ("text", "''", ""),
            ("text", "null", None),
            ("varchar(5)", "'ab   '", "ab   "),
            ("char(5)", "'ab'", "ab"),
            ("name", "'n'", "n"),
            ("shorter", "'d'", "d"),
            ("mood", "'it''s; --'", "it's; --"),
            ("json", """'{"b":1,  "b":"\\u0000"}'""", '{"b":1,  "b":"\\u0000"}'),
            ("jsonb", """'{"n": 123456789012345678901234567890.5}'""", '{"n": 123456789012345678901234567890.5}'),
            ("uuid", "'00000000-0000-0000-0000-00000000000a'", "00000000-0000-0000-0000-00000000000a"),
            ("inet", "'10.0.0.1/8'", "10.0.0.1/8"),
            ("boolean", "true", "true"),
            (
                "numeric",
                "'123456789012345678901234567890123456789012.5'",
                "123456789012345678901234567890123456789012.5",
            ),
            ("numeric", "'NaN'", "NaN"),
            ("double precision", "0.1", "0.1"),
            ("real", "0.1", "0.1"),
            ("interval", "'1 year 2 mons 3 days 04:05:06'", "1 year 2 mons 3 days 04:05:06"),
            ("timetz", "'12:00+02'", "12:00:00+02"),
            ("text generated always as ('made of ' || id) stored", "default", "made of 20"),
        ],
    )


def test_an_id_arrives_as_its_text(arrives):
    check(
        arrives,
        "memory_id",
        "memory_id",
        [
            ("bigint", "9223372036854775807", "9223372036854775807"),
            ("bigint generated always as identity", "default", "1"),
            ("uuid", "'AAAAAAAA-0000-0000-0000-000000000000'", "aaaaaaaa-0000-0000-0000-000000000000"),
            ("text", f"'{UNUSUAL}'", UNUSUAL.replace("''", "'")),
            ("char(9)", "'padded'", "padded"),
            ("numeric(50)", "'12345678901234567890123456789012345678901234567890'", "1234567890" * 5),
            ("numeric", "1.50", "1.50"),
            ("mood", "'calm'", "calm"),
            ("shorter", "'short'", "short"),
            ("inet", "'::1'", "::1/128"),
            ("timestamptz", "'2025-06-01 14:00+02'", "2025-06-01 12:00:00+00"),
            ("text", "null", "not taken"),
        ],
    )


def test_a_time_arrives_as_the_same_instant_or_its_row_is_not_taken(arrives):
    check(
        arrives,
        "occurred_at",
        "strftime(occurred_at at time zone 'UTC', '%Y-%m-%d %H:%M:%S.%f')",
        [
            ("timestamptz", "'2025-06-01 14:00:00.123456+02'", "2025-06-01 12:00:00.123456"),
            ("timestamptz", "'0001-01-01 00:00:00+00'", "0001-01-01 00:00:00.000000"),
            ("timestamptz", "'9999-12-30 23:59:59.999999+00'", "9999-12-30 23:59:59.999999"),
            ("timestamptz", "'294276-12-31 00:00+00'", "not taken"),
            ("timestamptz", "'0044-03-15 00:00+00 BC'", "not taken"),
            ("timestamptz", "'infinity'", "not taken"),
            ("timestamptz", "'-infinity'", "not taken"),
            ("timestamptz(0)", "'2025-06-01 12:00:00.6+00'", "2025-06-01 12:00:01.000000"),
            ("timestamp", "'2025-06-01 12:00:00.000001'", "2025-06-01 12:00:00.000001"),
            ("timestamp", "'294276-12-31'", "not taken"),
            ("timestamp", "'infinity'", "not taken"),
            ("date", "'2025-06-01'", "2025-06-01 00:00:00.000000"),
            ("date", "'5874897-12-31'", "not taken"),
            ("date", "'4713-01-01 BC'", "not taken"),
            ("date", "'infinity'", "not taken"),
            ("bigint", "1748779200", "2025-06-01 12:00:00.000000"),
            ("bigint", "1748779200000", "not taken"),
            ("bigint", "-9223372036854775808", "not taken"),
            ("integer", "-1", "1969-12-31 23:59:59.000000"),
            ("numeric", "1748779200.123456", "2025-06-01 12:00:00.123456"),
            ("numeric", "'NaN'", "not taken"),
            ("numeric", "1e1000", "not taken"),
            ("double precision", "'-infinity'", "not taken"),
            ("double precision", "'NaN'", "not taken"),
            ("text", "'2025-06-01T12:00:00.5Z'", "2025-06-01 12:00:00.500000"),
            ("text", "' 2025-06-01 '", "2025-06-01 00:00:00.000000"),
            ("text", "''", "not taken"),
            ("varchar", "'infinity'", "not taken"),
            ("char(30)", "'2025-06-01 12:00+00'", "2025-06-01 12:00:00.000000"),
        ],
    )


def test_a_deletion_that_never_comes_is_none_and_one_before_time_is_since_ever(arrives):
    check(
        arrives,
        "deleted_at",
        "deleted_at::varchar",
        [
            ("timestamptz", "'2025-07-01+00'", "2025-07-01 00:00:00+00"),
            ("timestamptz", "'infinity'", None),
            ("timestamptz", "'-infinity'", "2025-06-01 12:00:00+00"),
            ("date", "'2025-07-01'", "2025-07-01 00:00:00+00"),
            ("text", "''", None),
        ],
    )


def test_an_importance_arrives_as_a_double_and_what_is_no_number_as_none(arrives):
    check(
        arrives,
        "importance",
        "importance",
        [
            ("smallint", "-32768", -32768.0),
            ("bigint", "9007199254740992", 9007199254740992.0),
            ("numeric", "0.1", 0.1),
            ("numeric(60,40)", "0.3333333333333333333333333333333333333333", 1 / 3),
            ("numeric", "'NaN'", None),
            ("numeric", "'Infinity'", None),
            ("numeric", "1e400", None),
            ("numeric", "1e-400", 0.0),
            ("real", "0.1", 0.10000000149011612),
            ("real", "'NaN'", None),
            ("double precision", "1.7976931348623157e308", 1.7976931348623157e308),
            ("double precision", "5e-324", 5e-324),
            ("double precision", "'-infinity'", None),
            ("double precision", "null", None),
        ],
    )


def test_tags_arrive_as_a_list(arrives):
    check(
        arrives,
        "tags",
        "tags",
        [
            ("text[]", f"array['{UNUSUAL}', null, '', 'a,b']", [UNUSUAL.replace("''", "'"), None, "", "a,b"]),
            ("text[]", "'{}'", []),
            ("text[]", "null", None),
            ("text[][]", "'{{a,b},{c,NULL}}'", ["a", "b", "c", None]),
            ("text[]", "'[5:6]={a,b}'", ["a", "b"]),
            ("marks", "'{a}'", ["a"]),
            ("mood[]", "array['calm']::mood[]", ["calm"]),
            ("uuid[]", "'{00000000-0000-0000-0000-00000000000a}'", ["00000000-0000-0000-0000-00000000000a"]),
            ("numeric[]", "'{1.50,NaN}'", ["1.50", "NaN"]),
            ("jsonb", """'["a", 1, null, {"b": 2}]'""", ["a", "1", None, '{"b": 2}']),
            ("json", "'\"one\"'", ["one"]),
            ("jsonb", "'{}'", None),
            ("jsonb", "'null'", None),
            ("text", "' red, green ;blue,,'", ["red", "green", "blue"]),
            ("text", "''", []),
            ("mood", "'calm'", ["calm"]),
        ],
    )


def test_metadata_arrives_as_the_sources_own_json_or_as_what_postgresql_makes_of_the_value(arrives):
    check(
        arrives,
        "metadata",
        "metadata",
        [
            ("json", """'{"b":1,  "b":"\\u0000"}'""", '{"b":1,  "b":"\\u0000"}'),
            ("jsonb", """'{"n": 1e400}'""", '{"n": 1' + "0" * 400 + "}"),
            ("jsonb", """'{"n": 0.30000000000000004441}'""", '{"n": 0.30000000000000004441}'),
            ("jsonb", "'null'", "null"),
            ("jsonb", "null", None),
            ("text", "'{\"a\": 1}'", '"{\\"a\\": 1}"'),
            ("pair", "row(1, 'b')::pair", '{"a": 1, "b": "b"}'),
            ("pair[]", "array[row(1, null)::pair]", '[{"a": 1, "b": null}]'),
            ("int4range", "'[1,3)'", '"[1,3)"'),
            ("bytea", "'\\x00ff'", '"\\\\x00ff"'),
            ("numeric", "'NaN'", '"NaN"'),
            ("timestamptz", "'infinity'", '"infinity"'),
            ("integer[]", "'{{1,2},{3,4}}'", "[[1, 2], [3, 4]]"),
        ],
    )


def test_an_embedding_arrives_in_single_precision_and_what_is_no_vector_as_none(arrives):
    check(
        arrives,
        "embedding",
        "embedding",
        [
            ("vector", "'[0.1,-3e38]'", [0.10000000149011612, -3.0000000054977558e38]),
            ("vector(2)", "null", None),
            ("halfvec", "'[0.5,65504]'", [0.5, 65504.0]),
            ("real[]", "'{1,3.4028235e38}'", [1.0, 3.4028234663852886e38]),
            ("double precision[]", "'{1e-50,1}'", [0.0, 1.0]),
            ("numeric[]", "'{0.5}'", [0.5]),
            ("double precision[]", "'{1e50,1}'", None),
            ("real[]", "'{1,NULL}'", None),
            ("real[]", "'{1,NaN}'", None),
            ("real[]", "'{{1,2},{3,4}}'", None),
            ("real[]", "'{}'", None),
        ],
    )


def test_an_embedding_kept_as_json_is_pulled_by_the_expression_that_its_refusal_names(pg, dsn, pull, raw, map_source):
    pg.execute("create table memories (id int primary key, content text, ts timestamptz, embedding jsonb)")
    pg.execute(f"insert into memories values (1, 'x', {T}, '[0.5, 1]')")
    map_source("sources: {s: {table: memories, columns: {embedding: embedding}}}")
    with pytest.raises(SourceError, match=r"column public\.memories\.embedding is jsonb") as refused:
        pull()
    expression = re.search(r'\{expression: (".*")\}', str(refused.value))[1]
    map_source(f"sources: {{s: {{table: memories, columns: {{embedding: {{expression: {expression}}}}}}}}}")
    pull()
    assert raw("select embedding from raw.memories") == [([0.5, 1.0],)]


REFUSED = {
    "memory_id": ("json", "jsonb", "xml", "bytea", "text[]", "pair", "int4range", "tsvector", "vector"),
    "content": ("bytea", "text[]", "mood[]", "pair", "tstzrange", "int4multirange", "tsvector", "vector", "halfvec"),
    "occurred_at": (
        "time",
        "timetz",
        "interval",
        "boolean",
        "uuid",
        "jsonb",
        "timestamptz[]",
        "tstzrange",
        "mood",
        "bytea",
    ),
    "session_id": ("jsonb", "uuid[]", "pair"),
    "importance": ("text", "money", "boolean", "interval", "numeric[]", "jsonb", "mood"),
    "tags": ("bytea", "pair", "int4range", "vector", "integer", "point", "xml", "tsvector"),
    "embedding": ("text", "jsonb", "bytea", "text[]", "bit(4)", "sparsevec", "pair"),
}


@pytest.mark.parametrize(("role", "kind"), [(role, kind) for role, kinds in REFUSED.items() for kind in kinds])
def test_a_type_that_makes_no_sense_in_a_role_is_refused_by_column_with_the_fix(pg, dsn, role, kind):
    pg.execute(f'create table t (id text, content text, ts timestamptz, "its name" {kind})')
    columns = {"memory_id": "id", "content": "content", "occurred_at": "ts", role: "its name"}
    source = SourceTable("s", "public", "t", {ours: Column(name=theirs) for ours, theirs in columns.items()})
    with pytest.raises(
        SourceError, match=r"column public\.t\.its name is \S.*; .*(expression|null|must be a timestamp)"
    ):
        describe_source(source, dsn)


def test_columns_that_are_not_mapped_may_be_of_any_type(pg, pull, raw):
    kinds = [
        *("bytea", "xml", "pair", "mood", "int4range", "tstzmultirange", "tsvector", "vector", "halfvec", "sparsevec"),
        *("numeric", "money", "interval", "timetz", "point", "polygon", "inet", "bit(3)", "oid", "regclass", "pg_lsn"),
        *("text[][]", "pair[]", "numeric[]", "marks", '"char"', "xid8", "txid_snapshot", "jsonpath", "macaddr8"),
    ]
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds))
    pg.execute(
        "create table memories (gone bytea, id int generated always as identity primary key, content text, "
        "also_gone numeric, occurred_at timestamptz, "
        f"twice int generated always as (length(content) * 2) stored, {columns})"
    )
    pg.execute("alter table memories drop column gone, drop column also_gone")
    pg.execute(
        "insert into memories (content, occurred_at, c0, c10, c24) values "
        f"('x', {T}, '\\xff', 'NaN', array[row(1, null)::pair])"
    )
    pull()
    assert raw("select memory_id, content from raw.memories") == [("1", "x")]


def test_settings_of_the_role_do_not_change_what_arrives(pg, pull, raw):
    for setting in (
        *("datestyle = 'German'", "bytea_output = 'escape'", "intervalstyle = 'iso_8601'", "extra_float_digits = 0"),
        *("timezone = 'Asia/Tokyo'", "client_encoding = 'LATIN1'"),
    ):
        pg.execute(f"alter database {pg.info.dbname} set {setting}")
    pg.execute("create table memories (id float8 primary key, content interval, ts text, speaker timestamptz)")
    pg.execute(f"insert into memories values (0.1::float8 + 0.2::float8, '1 day', '2025-06-01 12:00', {T})")
    pull()
    assert raw("select memory_id, content, occurred_at::varchar, speaker from raw.memories") == [
        ("0.30000000000000004", "1 day", "2025-06-01 12:00:00+00", "2025-06-01 12:00:00+00")
    ]


@pytest.mark.slow
def test_a_text_of_200_megabytes_arrives_whole(memories, pull, raw):
    memories.execute(
        f"insert into memories (memory_id, content, occurred_at) select 'a', repeat('0123456789', 20000000), {T}"
    )
    pull()
    assert raw("select length(content), left(content, 12), right(content, 3) from raw.memories") == [
        (200_000_000, "012345678901", "789")
    ]
