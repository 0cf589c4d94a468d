"""Writing to the source table on an agent's behalf: a memory in, a memory out. Only servers of agents do; a pull reads.

What is written is an ordinary row of the user's own table, so that the pipeline takes it in like any other.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from biomem.errors import InputError, SourceError
from biomem.source.casts import INTEGERS, JSONS, NUMBERS, TEXTS
from biomem.source.columns import plan_columns
from biomem.source.dsn import connect, without_secrets
from biomem.source.table import describe_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg
    from psycopg.sql import SQL

    from biomem.source.mapping import SourceTable
    from biomem.source.table import TableShape

NEEDED = ("memory_id", "content", "occurred_at")
# the present moment by the source's clock, as each type of column holds it
NOW = {
    "timestamp with time zone": "now()",
    "timestamp without time zone": "now() at time zone 'UTC'",
    "date": "(now() at time zone 'UTC')::date",
    **dict.fromkeys(INTEGERS, "floor(extract(epoch from now()))::bigint"),
    **dict.fromkeys(NUMBERS[len(INTEGERS) :], "extract(epoch from now())"),
    **dict.fromkeys(TEXTS, """to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""),
}


@dataclass(frozen=True)
class Remembered:
    """A row that was inserted; `not_stored` names what was given and the table has no column for."""

    memory_id: str
    table: str
    not_stored: tuple[str, ...]


@dataclass(frozen=True)
class _Column:
    """A column of the table that can be written."""

    name: str
    kind: str
    fills_itself: bool  # by a default, an identity, or an expression


@dataclass(frozen=True)
class _Writer:
    """How one source table is written: its writable columns by our names, and the SQL that each of ours is read by."""

    source: SourceTable
    columns: Mapping[str, _Column]
    reads: Mapping[str, str]
    required: tuple[str, ...]  # columns of the table that must be given a value

    def column(self, ours: str) -> _Column:
        """The column behind `ours`. Raises SourceError when it is an expression, or one that nobody may write."""
        if ours in self.columns:
            return self.columns[ours]
        if ours in self.reads:
            raise SourceError(
                f"{self.source.label} cannot be written to: {ours} is read from {self.reads[ours]}, which is no column "
                "that takes a value; map it to a plain column in source.yml, or let the application write"
            )
        raise SourceError(f"{self.source.label} has no column for {ours}; map one in source.yml")


def remember(
    dsn: str,
    source: SourceTable,
    *,
    agent_id: str,
    content: str,
    session_id: str | None = None,
    speaker: str | None = None,
    importance: float | None = None,
    tags: Sequence[str] | None = None,
) -> Remembered:
    """Insert one memory that happened now, by the source's clock.

    Raises InputError for a text that PostgreSQL cannot hold; SourceError when the table cannot be written to (the
    message names the missing right, the expression or the column that is in the way).
    """
    given = {"content": content, "session_id": session_id, "speaker": speaker, "importance": importance, "tags": tags}
    values = {ours: value for ours, value in given.items() if value is not None}
    _require_storable(values)
    with _writing(dsn, source, "insert into") as (con, writer):
        values |= _agent(writer, agent_id)
        not_stored = tuple(ours for ours in values if ours not in writer.columns and ours not in NEEDED)
        return Remembered(_insert(con, writer, values), source.label, not_stored)


def forget(dsn: str, source: SourceTable, *, agent_id: str, memory_ids: Sequence[str]) -> dict[str, str]:
    """Take memories of one agent out of the source, in one transaction: which were, and how.

    A table with a `deleted_at` keeps the row and marks it ("marked"); from any other the row is "deleted". Ids that
    the agent has not, or that are marked already, are passed over. Raises SourceError when the table refuses.
    """
    with _writing(dsn, source, "take a memory out of") as (con, writer):
        return {memory_id: how for memory_id in memory_ids if (how := _take_out(con, writer, agent_id, memory_id))}


def _agent(writer: _Writer, agent_id: str) -> dict[str, str]:
    if "agent_id" in writer.reads:
        writer.column("agent_id")
        return {"agent_id": agent_id}
    if agent_id != writer.source.agent_id:
        raise SourceError(
            f"{writer.source.label} has no column for the agent, all its memories are of {writer.source.agent_id!r}: "
            f"{agent_id!r} cannot remember there"
        )
    return {}


def _insert(con: psycopg.Connection[tuple[Any, ...]], writer: _Writer, values: Mapping[str, Any]) -> str:
    from psycopg.sql import SQL, Composable, Placeholder

    key, when = writer.column("memory_id"), writer.column("occurred_at")
    writer.column("content")
    into: dict[str, Composable] = {}
    parameters: dict[str, Any] = {}
    for ours, value in values.items():
        if ours in writer.columns:
            into[writer.columns[ours].name] = Placeholder(ours)
            parameters[ours] = _as_kind(value, writer.columns[ours].kind)
    # the kind was accepted when the columns were planned
    into[when.name] = SQL(NOW[when.kind])
    if not key.fills_itself:
        into[key.name] = Placeholder("memory_id")
        parameters["memory_id"] = _new_id(key, writer.source)
    if missing := [name for name in writer.required if name not in into]:
        raise SourceError(
            f"{writer.source.label} cannot be written to: it wants a value for {', '.join(missing)}, and nothing says "
            "which; give the column a default, or let the application write"
        )
    row = con.execute(
        SQL("insert into {} ({}) values ({}) returning {}::text").format(
            _name(writer.source.schema, writer.source.table),
            SQL(", ").join(map(_name, into)),
            SQL(", ").join(into.values()),
            _name(key.name),
        ),
        parameters,
    ).fetchone()
    if row is None:
        raise SourceError(f"{writer.source.label} did not keep the row: a trigger or rule of the table turned it away")
    return str(row[0])


def _take_out(con: psycopg.Connection[tuple[Any, ...]], writer: _Writer, agent_id: str, memory_id: str) -> str | None:
    import psycopg
    from psycopg.sql import SQL

    table = _name(writer.source.schema, writer.source.table)
    # compared as themselves for the sake of the index, and as text because that is what the id is everywhere else
    condition = SQL("{key}::text = %(id)s and coalesce({agent}::text, %(default)s) = %(agent)s").format(
        key=SQL(writer.reads["memory_id"]),
        agent=SQL(writer.reads.get("agent_id", "null")),
    )
    if "memory_id" in writer.columns:
        condition = SQL("{} = %(key)s and {}").format(_name(writer.columns["memory_id"].name), condition)
    mark = writer.columns.get("deleted_at")
    if mark is not None:
        statement = SQL("update {} set {deleted} = {now} where {} and {deleted} is null").format(
            table, condition, deleted=_name(mark.name), now=SQL(NOW[mark.kind])
        )
    elif "deleted_at" in writer.reads:
        writer.column("deleted_at")
    else:
        statement = SQL("delete from {} where {}").format(table, condition)
    parameters = {"id": memory_id, "key": memory_id, "agent": agent_id, "default": writer.source.agent_id}
    try:
        with con.transaction():
            count = con.execute(statement, parameters).rowcount
    except psycopg.DataError:
        return None  # the text is no id of this table's type
    return ("marked" if mark is not None else "deleted") if count else None


@contextmanager
def _writing(
    dsn: str, source: SourceTable, doing: str
) -> Iterator[tuple[psycopg.Connection[tuple[Any, ...]], _Writer]]:
    """One transaction on the table; whatever PostgreSQL refuses in it is told as a SourceError."""
    import psycopg

    shape = describe_table(dsn, source.schema, source.table, source.expressions)
    found = plan_columns(source, shape).found
    con = connect(dsn)
    user = con.info.user
    try:
        with con:
            yield con, _describe(con, source, shape, found)
    except psycopg.errors.InsufficientPrivilege as error:
        right = "insert" if doing.startswith("insert") else "update, delete"
        raise SourceError(
            f'user {user!r} may not {doing} {source.label}: grant {right} on "{source.schema}"."{source.table}" to '
            f'"{user}", or name a user who may in BIOMEM_SOURCE_DSN ({without_secrets(str(error), dsn)})'
        ) from None
    except psycopg.Error as error:
        reason = error.diag.message_primary or without_secrets(str(error), dsn)
        raise SourceError(f"PostgreSQL refused to {doing} {source.label}: {reason}") from None


def _describe(
    con: psycopg.Connection[tuple[Any, ...]], source: SourceTable, shape: TableShape, found: Mapping[str, str]
) -> _Writer:
    rows = con.execute(
        """
        select a.attname::text, a.attnotnull, a.atthasdef or a.attidentity <> '',
            a.attidentity = 'a' or a.attgenerated <> ''
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = %s and c.relname = %s and a.attnum > 0 and not a.attisdropped
        """,
        [source.schema, source.table],
    ).fetchall()
    by_name = {name: facts for name, *facts in rows}
    columns, reads = {}, {}
    for ours, theirs in found.items():
        expression = source.expressions.get(ours)
        reads[ours] = _escaped(f"({expression})") if expression is not None else _name(theirs).as_string()
        if expression is None:
            _, fills_itself, is_closed = by_name[theirs]
            if not is_closed or ours == "memory_id":
                columns[ours] = _Column(theirs, shape.columns[theirs], fills_itself)
    required = tuple(name for name, (not_null, fills_itself, _) in by_name.items() if not_null and not fills_itself)
    return _Writer(source, columns, reads, required)


def _name(*parts: str) -> SQL:
    """A quoted name, for a statement with parameters."""
    from psycopg.sql import SQL, Identifier

    return SQL(_escaped(Identifier(*parts).as_string()))


def _escaped(text: str) -> str:
    """`text` as part of a statement with parameters, where a percent sign begins one."""
    return text.replace("%", "%%")


def _new_id(key: _Column, source: SourceTable) -> str:
    if key.kind in TEXTS or key.kind == "uuid":
        return str(uuid4())
    raise SourceError(
        f"{source.label} cannot be written to: its id {key.name!r} is {key.kind} and makes no value of its own; give "
        "it a default (generated by default as identity)"
    )


def _as_kind(value: Any, kind: str) -> Any:
    if isinstance(value, list | tuple):
        if kind in JSONS:
            return json.dumps(list(value), ensure_ascii=False)
        return list(value) if kind.endswith("[]") else ", ".join(value)
    return value


def _require_storable(values: Mapping[str, Any]) -> None:
    for ours, value in values.items():
        for text in value if isinstance(value, list | tuple) else [value]:
            if not isinstance(text, str):
                continue
            if "\0" in text:
                raise InputError(f"{ours} holds a NUL character, which PostgreSQL cannot store; leave it out")
            try:
                text.encode()
            except UnicodeEncodeError:
                raise InputError(f"{ours} holds half of a surrogate pair, which is no text; leave it out") from None
