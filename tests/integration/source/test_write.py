"""What agents write into the source table: an ordinary row, or an error that says what is in the way."""

from __future__ import annotations

import psycopg
import pytest
from biomem.errors import InputError, SourceError
from biomem.source.mapping import parse_sources
from biomem.source.write import forget, remember


@pytest.fixture
def table(dsn):
    """Make a table and say how it is mapped."""
    with psycopg.connect(dsn, autocommit=True) as pg:

        def make(columns, mapping="", name="public.notes"):
            pg.execute("create schema if not exists app")
            pg.execute(f"create table {name} ({columns})")
            (source,) = parse_sources(f"sources: {{notes: {{table: '{name}', {mapping}}}}}", "source.yml")
            make.source = source
            return pg

        make.dsn = dsn
        yield make


def write(table, content="tea", agent="default", **more):
    return remember(table.dsn, table.source, agent_id=agent, content=content, **more)


@pytest.mark.parametrize(
    ("when", "is_now"),
    [
        ("timestamptz", "occurred_at between now() - interval '1 minute' and now()"),
        ("timestamp", "occurred_at at time zone 'UTC' between now() - interval '1 minute' and now()"),
        ("date", "occurred_at = (now() at time zone 'UTC')::date"),
        ("bigint", "to_timestamp(occurred_at) between now() - interval '1 minute' and now()"),
        ("double precision", "to_timestamp(occurred_at) between now() - interval '1 minute' and now()"),
        ("text", "occurred_at::timestamptz between now() - interval '1 minute' and now()"),
    ],
)
def test_the_moment_is_written_as_the_column_holds_it(table, when, is_now):
    pg = table(f"id bigint generated always as identity primary key, content text, occurred_at {when}")
    assert write(table).memory_id == "1"
    assert pg.execute(f"select id, content, {is_now} from notes").fetchall() == [(1, "tea", True)]


@pytest.mark.parametrize("kind", ["text", "uuid", "varchar(40)"])
def test_an_id_is_made_where_the_table_makes_none(table, kind):
    pg = table(f"id {kind} primary key, content text, occurred_at timestamptz")
    done = write(table)
    assert pg.execute("select id::text from notes").fetchall() == [(done.memory_id,)]


@pytest.mark.parametrize(("kind", "held"), [("text[]", ["a", "b"]), ("jsonb", ["a", "b"]), ("text", "a, b")])
def test_tags_are_written_as_the_column_holds_them(table, kind, held):
    pg = table(f"id text, content text, occurred_at timestamptz, tags {kind}")
    assert write(table, tags=["a", "b"], importance=0.5).not_stored == ("importance",)
    assert pg.execute("select tags from notes").fetchall() == [(held,)]


def test_names_and_texts_that_look_like_sql_stay_names_and_texts(table):
    odd = 'app."No%te""s; %s"'
    pg = table(
        '"%s id" text default gen_random_uuid()::text, "te xt" text, "At%" timestamptz, "gone%s" timestamptz',
        "columns: {memory_id: '%s id', content: te xt, occurred_at: At%, deleted_at: gone%s}",
        name=odd,
    )
    done = write(table, "'); drop table x; -- %s {0}")
    assert forget(table.dsn, table.source, agent_id="default", memory_ids=[done.memory_id, "'; --"]) == {
        done.memory_id: "marked"
    }
    assert pg.execute(f'select "te xt" from {odd} where "gone%%s" is not null'.replace("%%", "%")).fetchall() == [
        ("'); drop table x; -- %s {0}",)
    ]


def test_a_row_is_marked_where_the_table_marks_and_deleted_where_it_does_not(table):
    pg = table("id int primary key, content text, occurred_at timestamptz, agent_id text, deleted_at timestamptz")
    pg.execute("insert into notes values (1, 'x', now(), 'ada'), (2, 'x', now(), 'milo')")
    take = {"agent_id": "ada", "memory_ids": ["1", "2", "99", "no number", "01"]}
    assert forget(table.dsn, table.source, **take) == {"1": "marked"}
    assert forget(table.dsn, table.source, **take) == {}
    pg.execute("alter table notes drop column deleted_at")
    assert forget(table.dsn, table.source, **take) == {"1": "deleted"}
    assert pg.execute("select id from notes").fetchall() == [(2,)]


def test_a_table_without_agents_takes_only_the_memories_of_its_own(table):
    pg = table("id text, content text, occurred_at timestamptz", "agent_id: pepys")
    write(table, agent="pepys")
    with pytest.raises(SourceError, match=r"all its memories are of 'pepys': 'ada' cannot remember there"):
        write(table, agent="ada")
    pg.execute("update notes set id = 'x'")
    assert forget(table.dsn, table.source, agent_id="ada", memory_ids=["x"]) == {}


def test_a_table_whose_columns_are_expressions_is_not_guessed_at(table):
    table(
        "id text, payload jsonb, occurred_at timestamptz",
        "columns: {content: {expression: \"payload->>'data'\"}}",
    )
    with pytest.raises(SourceError, match=r"content is read from \(payload->>'data'\), which is no column"):
        write(table)


def test_a_row_mapped_by_expressions_can_be_taken_out(table):
    pg = table(
        "id int, payload jsonb, occurred_at timestamptz",
        "columns: {content: {expression: \"payload->>'data'\"}, "
        "agent_id: {expression: \"case id % 2 when 1 then 'ada' end\"}}",
    )
    pg.execute("insert into notes values (1, '{}', now()), (2, '{}', now())")
    assert forget(table.dsn, table.source, agent_id="ada", memory_ids=["1", "2"]) == {"1": "deleted"}


def test_a_column_that_must_be_filled_and_is_not_is_named(table):
    table("id text, content text, occurred_at timestamptz, tenant text not null")
    with pytest.raises(SourceError, match="wants a value for tenant"):
        write(table)


def test_an_id_that_is_a_number_needs_a_default(table):
    table("id bigint primary key, content text, occurred_at timestamptz")
    with pytest.raises(SourceError, match="makes no value of its own"):
        write(table)


def test_a_user_who_may_only_read_is_told_which_right_is_missing(table):
    pg = table("id text, content text, occurred_at timestamptz")
    pg.execute("create role looker login; grant select on notes to looker")
    table.dsn = psycopg.conninfo.make_conninfo(table.dsn, user="looker")
    try:
        with pytest.raises(SourceError, match=r'grant insert on "public"."notes" to "looker"'):
            write(table)
        with pytest.raises(SourceError, match=r'grant update, delete on "public"."notes" to "looker"'):
            forget(table.dsn, table.source, agent_id="default", memory_ids=["x"])
    finally:
        pg.execute("drop owned by looker; drop role looker")


def test_what_the_table_refuses_is_told_without_a_trace_and_nothing_is_kept(table):
    pg = table("id text, content text check (length(content) < 5), occurred_at timestamptz")
    with pytest.raises(SourceError, match="violates check constraint"):
        write(table, "too long")
    pg.execute("create function no() returns trigger language plpgsql as 'begin return null; end'")
    pg.execute("create trigger no before insert on notes for each row execute function no()")
    with pytest.raises(SourceError, match="did not keep the row"):
        write(table)
    assert pg.execute("select count(*) from notes").fetchone() == (0,)


@pytest.mark.parametrize(("text", "problem"), [("a\0b", "NUL"), ("\ud800", "surrogate")])
def test_a_text_that_postgresql_cannot_hold_is_refused_before_it_is_sent(table, text, problem):
    table("id text, content text, occurred_at timestamptz, tags text[]")
    for arguments in ({"content": text}, {"tags": ["a", text]}, {"agent": text}):
        with pytest.raises((InputError, SourceError), match=problem if "agent" not in arguments else "cannot remember"):
            write(table, **arguments)
