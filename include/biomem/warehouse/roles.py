"""Who may read schema `memory`: two roles of least privilege, and agents kept apart by row-level security.

`memory_reader` reads, `memory_access_writer` logs accesses; neither can log in, they are granted to roles that can.
What such a role sees is told by `memory.role_agents`: the agents granted to it, and none without a row there. The role
that owns the schema (the pipeline's) is not held back by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem.errors import ConfigurationError, PublishError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from psycopg.sql import Composed

    Target = psycopg.Connection[tuple[Any, ...]]

READER, WRITER = "memory_reader", "memory_access_writer"
ALL_AGENTS = "*"
POLICY, INSERT_POLICY = "visible_agents", "logged_agents"
ACCESS_LOG = "access_log"
ACCESS_COLUMNS = ("memory_id", "agent_id", "accessed_at", "kind", "grade", "origin")
# tables that name no agent because they hold nothing of one
SHARED_TABLES = ("embedding_models", "parameters", "role_agents", "runs", "schema_version", "sources")
# evaluated once a query, not once a row: a subquery
IS_VISIBLE = (
    f"(select '{ALL_AGENTS}' = any(memory.visible_agents())) "
    "or agent_id = any((select memory.visible_agents())::text[])"
)
CREATE_ROLE = """
do $$ begin
    create role {role} nologin;
exception when duplicate_object or unique_violation then null;  -- another process was first
end $$"""


def protect(pg: Target) -> None:
    """Keep agents apart in every table of schema `memory`, and give the two roles their privileges where they exist.

    The roles are made when this role may make roles. Harmless to repeat; part of the transaction of `pg`.
    """
    from psycopg import sql

    for table in _tables_with_agents(pg):
        for statement in _policies(pg, table):
            pg.execute(statement)
    if _may_make_roles(pg):
        for role in _missing_roles(pg):
            pg.execute(sql.SQL(CREATE_ROLE).format(role=sql.Identifier(role)))
    if not _missing_roles(pg):
        for statement in _grants(pg):
            pg.execute(statement)


def setup_sql(pg: Target) -> list[str]:
    """What an administrator has to run so that the two roles exist with their privileges."""
    from psycopg import sql

    made = [sql.SQL("create role {} nologin").format(sql.Identifier(role)) for role in _missing_roles(pg)]
    return [statement.as_string(pg) for statement in [*made, *_grants(pg)]]


def grant(pg: Target, role: str, agents: Sequence[str], *, may_log: bool = True) -> list[str]:
    """Let `role` read the memories of `agents` (`*`: of all), and log accesses to them unless `may_log` is False.

    Returns the statements that this connection may not run and an administrator has to. Raises ConfigurationError for
    a role that is not there, PublishError while the two roles are missing.
    """
    from psycopg import errors, sql

    _require_role(pg, role)
    protect(pg)
    if missing := _missing_roles(pg):
        raise PublishError(
            f"the server has no role {' and '.join(missing)} yet and this connection may not make roles; "
            "`biomem roles sql` prints what an administrator has to run"
        )
    for agent_id in agents:
        pg.execute(
            "insert into memory.role_agents (role_name, agent_id) values (%s, %s) on conflict do nothing",
            [role, agent_id],
        )
    left = []
    for group in (READER, WRITER) if may_log else (READER,):
        if _is_member(pg, role, group):
            continue
        statement = sql.SQL("grant {} to {}").format(sql.Identifier(group), sql.Identifier(role))
        try:
            with pg.transaction():
                pg.execute(statement)
        except errors.InsufficientPrivilege:
            left.append(statement.as_string(pg))
    return left


def revoke(pg: Target, role: str, agents: Sequence[str]) -> int:
    """Take the agents back from `role`, all of them when none is named; returns how many it had."""
    return pg.execute(
        "delete from memory.role_agents where role_name = %s and (%s or agent_id = any(%s))",
        [role, not agents, list(agents)],
    ).rowcount


def granted(pg: Target) -> list[tuple[str, str, bool, bool]]:
    """Every grant: role, agent, and whether the role is a member of the reading and of the writing role by now."""
    rows = pg.execute("select role_name, agent_id from memory.role_agents order by role_name, agent_id").fetchall()
    return [(role, agent_id, _is_member(pg, role, READER), _is_member(pg, role, WRITER)) for role, agent_id in rows]


def _policies(pg: Target, table: str) -> list[Composed]:
    """What is missing to keep agents apart in `table`: nothing is locked where all is in place."""
    from psycopg import sql

    name = sql.Identifier("memory", table)
    row = pg.execute(
        """
        select relrowsecurity, array(select polname::text from pg_policy where polrelid = c.oid)
        from pg_class c where relnamespace = 'memory'::regnamespace and relname = %s
        """,
        [table],
    ).fetchone()
    assert row is not None
    is_secured, there = row
    wanted: list[Composed] = []
    if not is_secured:
        wanted.append(sql.SQL("alter table {} enable row level security").format(name))
    policies = {POLICY: "select using"} | ({INSERT_POLICY: "insert with check"} if table == ACCESS_LOG else {})
    for policy, kind in policies.items():
        if policy not in there:
            create = sql.SQL("create policy {} on {} for {} ({})")
            wanted.append(create.format(sql.Identifier(policy), name, sql.SQL(kind), sql.SQL(IS_VISIBLE)))
    return wanted


def _grants(pg: Target) -> list[Composed]:
    from psycopg import sql

    def table(name: str) -> sql.Identifier:
        return sql.Identifier("memory", name)

    reader, writer = sql.Identifier(READER), sql.Identifier(WRITER)
    readable = sql.SQL(", ").join(table(name) for name in [*_tables_with_agents(pg), *_shared_tables(pg)])
    columns = sql.SQL(", ").join(map(sql.Identifier, ACCESS_COLUMNS))
    return [
        sql.SQL("grant usage on schema memory to {}, {}").format(reader, writer),
        sql.SQL("grant select on {} to {}").format(readable, reader),
        sql.SQL("grant select on {} to {}").format(table("role_agents"), writer),
        sql.SQL("grant insert ({}) on {} to {}").format(columns, table(ACCESS_LOG), writer),
    ]


def _tables_with_agents(pg: Target) -> list[str]:
    rows = pg.execute(
        """
        select c.relname::text
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'memory'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'role_agents'
            and a.attname = 'agent_id' and not a.attisdropped
        order by 1
        """
    )
    return [name for (name,) in rows]


def _shared_tables(pg: Target) -> list[str]:
    rows = pg.execute(
        "select relname::text from pg_class where relnamespace = 'memory'::regnamespace and relkind = 'r' "
        "and relname = any(%s) order by 1",
        [list(SHARED_TABLES)],
    )
    return [name for (name,) in rows]


def _missing_roles(pg: Target) -> list[str]:
    there = {name for (name,) in pg.execute("select rolname from pg_roles where rolname = any(%s)", [[READER, WRITER]])}
    return [role for role in (READER, WRITER) if role not in there]


def _may_make_roles(pg: Target) -> bool:
    row = pg.execute("select rolsuper or rolcreaterole from pg_roles where rolname = current_user").fetchone()
    return bool(row and row[0])


def _require_role(pg: Target, role: str) -> None:
    if pg.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone() is None:
        raise ConfigurationError(f"there is no role {role!r} on the server; create it first (create role ... login)")


def _is_member(pg: Target, role: str, group: str) -> bool:
    row = pg.execute(
        "select pg_has_role(member.oid, groups.oid, 'usage') from pg_roles member, pg_roles groups "
        "where member.rolname = %s and groups.rolname = %s",
        [role, group],
    ).fetchone()
    return bool(row and row[0])
