"""Agents kept apart: what a role sees of schema `memory`, in every table and through every function."""

from __future__ import annotations

import subprocess
import sys
from itertools import count

import psycopg
import pytest
from biomem.errors import ConfigurationError, PublishError
from biomem.warehouse import roles
from biomem.warehouse.target_schema import ensure_target_schema, migrate
from psycopg import sql

_numbers = count(1)


@pytest.fixture
def target(pg, dsn):
    """Schema `memory` with a row of agent ada and one of agent milo in every table that names an agent."""
    ensure_target_schema(dsn)
    for table in agent_tables(pg):
        fill(pg, table)
    return pg


@pytest.fixture
def role(pg):
    """A role that may log in and nothing else; gone afterwards."""
    name = f'agent "{next(_numbers)}"; --'
    pg.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
    yield name
    pg.execute("reset role")
    pg.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
    pg.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def agent_tables(pg):
    rows = pg.execute(
        "select table_name from information_schema.columns where table_schema = 'memory' and column_name = 'agent_id' "
        "and table_name <> 'role_agents' order by 1"
    )
    return [name for (name,) in rows]


def fill(pg, table):
    """A row of each agent, whatever the table's columns: every required one gets a value of its type."""
    columns = pg.execute(
        "select column_name, data_type from information_schema.columns where table_schema = 'memory' "
        "and table_name = %s and column_name <> 'agent_id' and is_nullable = 'NO' and column_default is null "
        "and is_identity = 'NO' and is_generated = 'NEVER'",
        [table],
    ).fetchall()
    known = {"state": "live", "kind": "retrieve"}
    by_type = {"boolean": True, "jsonb": "{}", "timestamp with time zone": "2026-01-01", "ARRAY": "{}", "bytea": b"x"}
    for number, agent_id in enumerate(("ada", "milo"), 1):
        values = [
            known.get(name) or by_type.get(kind) or (f"secret of {agent_id}" if kind == "text" else number)
            for name, kind in columns
        ]
        pg.execute(
            sql.SQL("insert into memory.{} ({}) values ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, ["agent_id", *(name for name, _ in columns)])),
                sql.SQL(", ").join([sql.Placeholder()] * (len(columns) + 1)),
            ),
            [agent_id, *values],
        )


def become(pg, role):
    pg.execute(sql.SQL("set role {}").format(sql.Identifier(role)))


def seen(pg, table):
    return {row[0] for row in pg.execute(sql.SQL("select agent_id from memory.{}").format(sql.Identifier(table)))}


def test_a_reader_sees_the_rows_of_its_agents_and_of_nobody_else_in_any_table(target, role):
    assert roles.grant(target, role, ["ada"]) == []
    tables = agent_tables(target)
    become(target, role)
    assert {table: seen(target, table) for table in tables} == {table: {"ada"} for table in tables}


def test_a_reader_without_a_grant_of_agents_sees_nothing(target, role):
    target.execute(sql.SQL("grant memory_reader to {}").format(sql.Identifier(role)))
    tables = agent_tables(target)
    become(target, role)
    assert {table: seen(target, table) for table in tables} == {table: set() for table in tables}


def test_a_star_stands_for_every_agent_and_the_owner_sees_all(target, role):
    roles.grant(target, role, ["*"])
    assert seen(target, "memories") == {"ada", "milo"}
    become(target, role)
    assert seen(target, "memories") == {"ada", "milo"}


def test_a_role_that_was_granted_nothing_may_not_even_look(target, role):
    become(target, role)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        seen(target, "memories")


def test_a_reader_may_change_nothing_but_log_accesses_of_its_own_agents(target, role):
    roles.grant(target, role, ["ada"])
    become(target, role)
    log = "insert into memory.access_log (memory_id, agent_id, accessed_at) values ('m', %s, '2026-01-01')"
    target.execute(log, ["ada"])
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        target.execute(log, ["milo"])
    for statement in (
        "update memory.memories set content = 'x'",
        "delete from memory.memories",
        "delete from memory.access_log",
        "update memory.access_log set grade = 4",
        "insert into memory.role_agents values (current_user, '*')",
        "create table memory.mine (n integer)",
        "alter table memory.memories disable row level security",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            target.execute(statement)


def test_a_reader_only_may_not_log_accesses(target, role):
    roles.grant(target, role, ["ada"], may_log=False)
    become(target, role)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for table access_log"):
        target.execute("insert into memory.access_log (memory_id, agent_id, accessed_at) values ('m', 'ada', now())")


def test_a_role_learns_of_no_grant_but_its_own(target, role):
    roles.grant(target, role, ["ada"])
    target.execute("insert into memory.role_agents values ('somebody else', 'milo')")
    become(target, role)
    assert target.execute("select role_name, agent_id from memory.role_agents").fetchall() == [(role, "ada")]
    assert target.execute("select memory.visible_agents()").fetchone() == (["ada"],)


def test_a_member_of_a_granted_role_sees_what_that_role_sees(target, role):
    roles.grant(target, role, ["ada"])
    target.execute(sql.SQL("create role team_member; grant {} to team_member").format(sql.Identifier(role)))
    try:
        become(target, "team_member")
        assert seen(target, "memories") == {"ada"}
    finally:
        target.execute("reset role; drop role team_member")


def test_what_is_revoked_is_not_seen_any_more(target, role):
    roles.grant(target, role, ["ada", "milo"])
    assert roles.revoke(target, role, ["milo"]) == 1
    become(target, role)
    assert seen(target, "memories") == {"ada"}
    target.execute("reset role")
    assert roles.revoke(target, role, []) == 1


def test_nothing_in_the_schema_reads_with_the_rights_of_its_owner(target):
    definers = target.execute(
        "select proname from pg_proc where pronamespace = 'memory'::regnamespace and prosecdef"
    ).fetchall()
    views = target.execute(
        "select relname from pg_class where relnamespace = 'memory'::regnamespace and relkind = 'v' "
        "and not coalesce('security_invoker=true' = any(reloptions) or 'security_invoker=on' = any(reloptions), false)"
    ).fetchall()
    assert (definers, views) == ([], []), "these would show one agent's memories to another"


def test_every_table_either_names_the_agent_or_is_known_to_hold_nothing_of_one(target):
    tables = {name for (name,) in target.execute("select tablename from pg_tables where schemaname = 'memory'")}
    unknown = tables - set(agent_tables(target)) - set(roles.SHARED_TABLES)
    assert not unknown, f"give {unknown} a column agent_id, or list it in SHARED_TABLES"


def test_a_table_of_a_later_migration_is_protected_too(target, role):
    target.execute("create table memory.later (agent_id text not null)")
    fill(target, "later")
    roles.grant(target, role, ["ada"])
    become(target, role)
    assert seen(target, "later") == {"ada"}


def test_who_was_given_the_tables_before_agents_were_kept_apart_sees_all_of_them_still(pg, role):
    pg.execute("create schema memory")
    pg.execute(
        sql.SQL(
            "grant usage on schema memory to {0}; "
            "alter default privileges in schema memory grant select on tables to {0}"
        ).format(sql.Identifier(role))
    )
    with pg.transaction():
        migrate(pg)
    fill(pg, "memories")
    become(pg, role)
    assert seen(pg, "memories") == {"ada", "milo"}


def test_a_pipeline_that_may_not_make_roles_still_keeps_agents_apart_and_prints_what_is_missing(pg, dsn, role):
    name = pg.info.dbname
    pg.execute(sql.SQL("grant create on database {} to {}").format(sql.Identifier(name), sql.Identifier(role)))
    become(pg, role)
    with pg.transaction():
        migrate(pg)
    assert pg.execute("select relrowsecurity from pg_class where oid = 'memory.memories'::regclass").fetchone() == (
        True,
    )
    printed = roles.setup_sql(pg)
    assert any(line.startswith("grant select on") and '"memory_reader"' in line for line in printed)


def test_a_reader_may_compute_what_a_memory_is_worth(target, role):
    roles.grant(target, role, ["ada"], may_log=False)
    become(target, role)
    worth = "select memory.retention(1, timestamptz '2026-01-01', timestamptz '2026-01-02')"
    assert target.execute(worth).fetchone()[0] == pytest.approx(0.9)


def test_a_role_that_is_not_there_is_named(target):
    with pytest.raises(ConfigurationError, match="there is no role 'nobody'"):
        roles.grant(target, "nobody", ["ada"])


def test_while_the_two_roles_are_missing_a_grant_says_who_can_make_them(target, role, monkeypatch):
    monkeypatch.setattr(roles, "READER", "memory_reader_that_is_missing")
    monkeypatch.setattr(roles, "_may_make_roles", lambda pg: False)
    with pytest.raises(PublishError, match="`biomem roles sql` prints"):
        roles.grant(target, role, ["ada"])


def test_the_command_grants_lists_and_revokes(target, role, dsn, tmp_path):
    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", "from biomem.cli import main; main()", "--home", tmp_path, "roles", *arguments],
            env={"BIOMEM_SOURCE_DSN": dsn, "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "sees the memories of ada" in run("grant", role, "--agent", "ada")
    assert "ada" in run("list")
    assert "grant select on" in run("sql")
    assert "1 agent(s) less" in run("revoke", role)
    assert "no role was granted" in run("list")
