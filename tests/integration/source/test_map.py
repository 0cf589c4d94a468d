"""`biomem source map`: what it drafts for which table, and that the file stays its owner's."""

from __future__ import annotations

import psycopg
import pytest
import yaml
from biomem.errors import ConfigurationError, SourceError
from biomem.source.draft import draft_source
from biomem.source.mapping import Column, load_sources, parse_sources, split_table
from biomem.source.mapping_file import HEADER, scalar, table_name, write_entry
from tables_of_others import CODEX, CODEX_TIERED, MEM0, MEM0_ID, mem0_rows

T = "2025-06-01 12:00:00+00"


@pytest.fixture
def draft(pg, dsn):
    """Draft a table of schema public."""

    def make(table="memories", **arguments):
        return draft_source(dsn, "public", table, name=f"public.{table}", **arguments)

    return make


def write(settings, draft):
    write_entry(settings.mapping_path, draft.source.name, draft.entry(), may_replace=False)


def test_codex_memories_are_recognised_and_pulled_with_context_and_summary(pg, draft, settings, pull, raw):
    pg.execute(CODEX)
    pg.execute(
        "insert into memories (content, content_hash, context, summary, tags, metadata, created_at, updated_at) values "
        "('We use DuckDB.', 'h', 'planning', 'a decision', '{db}', '{\"k\": 1}', %s, %s)",
        [T, "2025-06-02+00"],
    )
    drafted = draft()
    assert (drafted.preset, drafted.missing, drafted.sampled, drafted.unusable) == ("codex", (), 1, {})
    write(settings, drafted)
    assert pull().rows_inserted == 1
    assert raw("select content, occurred_at::varchar, updated_at::varchar, tags, metadata from raw.memories") == [
        (
            "We use DuckDB.",
            T,
            "2025-06-02 00:00:00+00",
            ["db"],
            '{"k": 1, "context": "planning", "summary": "a decision"}',
        )
    ]


def test_codex_with_tiers_is_pulled_with_importance_embedding_and_soft_deletions(pg, draft, settings, pull, raw):
    pg.execute(CODEX_TIERED)
    pg.execute(
        "insert into memories "
        "(content, content_hash, embedding, importance_score, status, tier, created_at, updated_at) "
        "values ('kept', '1', '[1,2,3]', .7, 'archived', 'frozen', %(t)s, %(t)s), "
        "('gone', '2', null, .5, 'deleted', 'cold', %(t)s, '2025-06-03+00')",
        {"t": T},
    )
    write(settings, draft())
    pull()
    assert raw(
        "select content, importance, embedding, deleted_at::varchar, metadata from raw.memories order by content desc"
    ) == [("kept", 0.7, [1, 2, 3], None, "{}"), ("gone", 0.5, None, "2025-06-03 00:00:00+00", "{}")]


def test_mem0_is_recognised_and_pulled_as_its_python_and_its_typescript_write_it(pg, draft, settings, pull, raw):
    pg.execute(MEM0)
    for memory_id, vector, payload in mem0_rows():
        pg.execute("insert into mem0 values (%s, %s::real[]::vector, %s)", [memory_id, vector, payload])
    drafted = draft("mem0")
    assert drafted.preset == "mem0"
    write(settings, drafted)
    pull()
    assert raw(
        "select memory_id, content, occurred_at::varchar, agent_id, session_id, speaker, updated_at::varchar, "
        "metadata, embedding[1] from raw.memories order by 1"
    ) == [
        (
            *(MEM0_ID.format(1), "Likes oolong", "2025-06-01 12:00:00.123456+00", "noor", "r1", "user"),
            *("2025-06-02 12:00:00+00", '{"category": "tea"}', 0.10000000149011612),
        ),
        (MEM0_ID.format(2), "Lives in Leiden", "2025-06-03 12:00:00+00", "milo", None, None, None, "{}", None),
    ]


def test_any_other_table_is_drafted_by_names_and_types_with_the_reasons(pg, draft, settings, pull, raw):
    pg.execute(
        'create table notes ("noteKey" bigint generated always as identity primary key, entry text, '
        '"createdAt" bigint, "conversationId" uuid, importance text, salience real, is_deleted boolean, '
        "updated_at timestamptz, gone int, labels jsonb, pages bytea); alter table notes drop column gone"
    )
    pg.execute(
        'insert into notes (entry, "createdAt", importance, salience, is_deleted, updated_at, labels) values '
        "('hello', 1748779200000, 'high', .9, false, null, '[\"a\"]'), "
        "('bye', 1748779260000, null, null, true, %s, null)",
        [T],
    )
    drafted = draft("notes")
    assert drafted.preset == "generic"
    assert drafted.source.columns == {
        "memory_id": Column(name="noteKey"),
        "content": Column(name="entry"),
        "occurred_at": Column(expression='to_timestamp("createdAt" / 1000.0)'),
        "session_id": Column(name="conversationId"),
        "updated_at": Column(name="updated_at"),
        "importance": Column(name="salience"),
        "tags": Column(name="labels"),
        "deleted_at": Column(expression="case when is_deleted then updated_at end"),
    }
    entry = drafted.entry()
    assert "# milliseconds since 1970" in entry
    assert "# not read: importance (text), pages (bytea)" in entry
    assert "# no such column: agent_id, speaker, arousal, metadata, embedding" in entry
    write(settings, drafted)
    pull()
    assert raw("select content, occurred_at::varchar, importance, tags, deleted_at is null from raw.memories") == [
        ("hello", T, 0.8999999761581421, ["a"], True),
        ("bye", "2025-06-01 12:01:00+00", None, None, False),
    ]


@pytest.mark.parametrize(
    ("kind", "value", "expression"),
    [
        ("bigint", "1748779200000000", 'to_timestamp("ts" / 1000000.0)'),
        ("double precision", "1748779200000", 'to_timestamp("ts" / 1000.0)'),
        ("numeric", "1748779200000.5", 'to_timestamp("ts" / 1000.0)'),
        ("bigint", "1748779200", None),
    ],
)
def test_the_unit_of_a_time_in_numbers_is_told_by_the_sample(pg, draft, kind, value, expression):
    pg.execute(f"create table memories (id int, content text, ts {kind})")
    pg.execute(f"insert into memories values (1, 'x', {value})")
    assert draft().source.columns["occurred_at"].expression == expression


def test_values_that_cannot_be_read_do_not_keep_a_table_from_being_drafted(pg, biomem, settings):
    pg.execute("create table memories (id int, content text, created_at text)")
    pg.execute("insert into memories values (1, 'x', 'yesterday-ish')")
    done = biomem("source", "map")
    assert done.exit_code == 0
    assert "the rows cannot be read like this (invalid input syntax" in done.stderr
    assert "`biomem source doctor` names the column" in done.stderr
    assert load_sources(settings)[0].columns["occurred_at"] == Column(name="created_at")


def test_a_payload_that_is_no_jsonb_is_none_of_mem0(pg, draft):
    pg.execute("create table memories (id int primary key, payload text, created_at timestamptz)")
    assert draft().preset == "generic"


def test_codex_metadata_that_is_no_jsonb_is_taken_as_it_is(pg, draft):
    pg.execute(CODEX.replace("metadata jsonb", "metadata json"))
    assert draft().source.columns["metadata"] == Column(name="metadata")


def test_a_column_of_the_right_name_and_the_wrong_type_is_left_out_with_the_reason(pg, draft):
    pg.execute("create table memories (id int primary key, content text, created_at timestamptz, importance text)")
    assert "importance: null" in draft().entry()
    assert "# column public.memories.importance is text" in draft().entry()


def test_a_table_without_a_text_is_printed_as_far_as_it_goes_and_not_written(pg, biomem, settings):
    pg.execute("create table memories (id int primary key, a text, b text, created_at timestamptz)")
    done = biomem("source", "map")
    assert "# REQUIRED: no column looks like it; name one, or give an expression" in done.stdout
    assert isinstance(done.error, SourceError)
    assert "no column that looks like content, so nothing was written" in str(done.error)
    assert not settings.mapping_path.exists()


def test_a_preset_that_does_not_fit_names_what_is_missing(pg, draft):
    pg.execute("create table memories (id int primary key, content text, created_at timestamptz)")
    with pytest.raises(
        SourceError, match=r"public\.memories is no table of mem0: it has no payload jsonb; try --preset"
    ):
        draft(preset="mem0")


def test_an_access_log_is_drafted_too(pg, draft):
    pg.execute("create table recalls (id bigint primary key, memory_id uuid, recalled_at timestamptz, rating smallint)")
    drafted = draft("recalls", kind="access_log")
    (source,) = parse_sources(f"sources:\n{drafted.entry()}", "here")
    assert source.kind == "access_log"
    assert {ours: column.name for ours, column in source.columns.items()} == {
        "access_id": "id",
        "memory_id": "memory_id",
        "accessed_at": "recalled_at",
        "grade": "rating",
    }


def test_nothing_is_written_into_the_source_by_looking_at_it(memories, dsn, draft):
    before = memories.execute("select xmin::text, relname from pg_class order by relname").fetchall()
    draft()
    assert memories.execute("select xmin::text, relname from pg_class order by relname").fetchall() == before


def test_a_second_source_is_added_and_every_line_of_the_first_stays(memories, biomem, settings, map_source):
    memories.execute("create table notes (id int primary key, note text, created_at timestamptz)")
    first = "# mine\nsources:\n    diary:   # the old one\n        table: public.memories # yes\n    # and an end"
    map_source(first)
    done = biomem("source", "map", "--table", "notes")
    assert done.exit_code == 0, done.stderr
    assert settings.mapping_path.read_text().startswith(first + "\n    public.notes:\n")
    assert [source.name for source in load_sources(settings)] == ["diary", "public.notes"]


def test_a_source_is_replaced_only_by_force_and_the_others_stay(memories, biomem, settings, map_source):
    rest = "  # about b\n  b: {table: b}   # kept\n"
    map_source(f"sources:\n  public.memories:\n    table: public.memories\n    agent_id: ada\n{rest}")
    done = biomem("source", "map")
    assert isinstance(done.error, ConfigurationError)
    assert "has a source 'public.memories' already; replace it with --force" in str(done.error)
    assert biomem("source", "map", "--force").exit_code == 0
    assert settings.mapping_path.read_text().endswith(f"tells which suits\n{rest}")
    assert load_sources(settings)[0].agent_id == "default"


def test_the_same_table_under_two_names_is_refused_before_it_is_written(memories, biomem, map_source):
    map_source("sources: {diary: {table: memories}}")
    done = biomem("source", "map")
    assert "reads public.memories as source 'diary' already" in str(done.error)


def test_a_file_in_braces_is_left_as_it_is(memories, biomem, settings, map_source):
    text = "sources: {diary: {table: diary}}"
    map_source(text)
    assert "use --print and put the entry in by hand" in str(biomem("source", "map").error)
    assert settings.mapping_path.read_text() == text


def test_a_file_that_is_no_mapping_is_not_touched(memories, biomem, settings, map_source):
    map_source("sources: [")
    assert "is not YAML" in str(biomem("source", "map").error)
    assert settings.mapping_path.read_text() == "sources: ["


def test_what_is_printed_is_the_file_and_nothing_else(memories, biomem, settings):
    done = biomem("source", "map", "--print")
    assert done.exit_code == 0
    assert list(yaml.safe_load(done.stdout)["sources"]) == ["public.memories"]
    assert not settings.mapping_path.exists()


HOSTILE = [
    'a"b',
    "it's; drop table memories; --",
    "ünïcödé \N{SNOWMAN} \N{RIGHT-TO-LEFT OVERRIDE}tac",
    "x" * 63,
    "$body$",
    "line\nbreak: # no comment",
    "tab\tand \x1b[31mred",
    "{braces} %s %(x)s {0}",
    "back\\slash",
    " leading and trailing ",
    "null",
    "*anchor",
    "\N{GRINNING FACE}",
    "a.b",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_survives_the_file_and_the_pull(pg, dsn, settings, pull, raw, name):
    """As schema, table, column and source at once."""
    quote = psycopg.sql.Identifier
    create = psycopg.sql.SQL(
        "create schema {n}; create table {n}.{n} ({n} text primary key, content text, at timestamptz)"
    )
    insert = psycopg.sql.SQL("insert into {n}.{n} values ({id}, {content}, {at})")
    content = f"content of {name}'); drop table x; --"
    pg.execute(create.format(n=quote(name)))
    pg.execute(insert.format(n=quote(name), id=name, content=content, at=T))
    drafted = draft_source(dsn, name, name, name=name)
    assert drafted.source.columns["memory_id"] == Column(name=name)
    write(settings, drafted)
    (source,) = load_sources(settings)
    assert (source.name, source.schema, source.table) == (name, name, name)
    for expected in ((1, 0, 0), (0, 0, 0)):
        result = pull()
        assert (result.rows_inserted, result.rows_updated, result.rows_deleted) == expected
    assert raw("select source_name, memory_id, content from raw.memories") == [(name, name, content)]


@pytest.mark.parametrize("text", [*HOSTILE, "", "yes", "1", "a: b", "#", "\x85\u2028\ufeff", "\x07"])
def test_any_text_survives_as_a_scalar_on_one_line(text):
    assert len(scalar(text).splitlines()) == 1
    assert yaml.safe_load(f"key: {scalar(text)} # comment") == {"key": text}


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_of_a_table_is_read_back(name):
    assert split_table(yaml.safe_load(table_name(name, name))) == (name, name)


def test_a_new_file_explains_itself(settings, memories, draft):
    write(settings, draft())
    assert settings.mapping_path.read_text().startswith(HEADER)
