"""From a table's columns to the SELECT that brings each over exactly: found by name, cast by type, nothing guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from biomem.errors import SourceError
from biomem.source.mapping import REQUIRED, SYNONYMS, Column

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from biomem.source.mapping import SourceTable
    from biomem.source.table import TableShape

TIMESTAMPS = {
    "timestamp with time zone": "{}",
    "timestamp without time zone": "({} at time zone 'UTC')",
    "date": "({}::timestamp at time zone 'UTC')",
}
INTEGERS = ("smallint", "integer", "bigint")
NUMBERS = (*INTEGERS, "numeric", "real", "double precision")
TEXTS = ("text", "character varying", "character", "citext")
JSONS = ("json", "jsonb")
# what Python, DuckDB and PostgreSQL all can hold
FIRST_INSTANT, LAST_INSTANT = "0001-01-01 00:00:00+00", "9999-12-31 00:00:00+00"


@dataclass(frozen=True)
class ColumnPlan:
    """How to read one source table.

    `select_list` yields the columns of `raw.memories` that come from the source, and `problem`: why a row cannot be
    taken, or null. `key_list` yields what comparing all keys needs: `memory_id, is_deleted, problem`. `key` is the id
    as text; `has_key` says that the source itself keeps it unique. `found` holds, by our names, the column or the
    expression that each is read from.
    """

    select_list: str
    key_list: str
    key: str
    has_key: bool
    found: Mapping[str, str]


@dataclass(frozen=True)
class _Read:
    """One of our columns in SQL, its type as format_type writes it, and what to call it in a message."""

    sql: str
    kind: str
    label: str


def plan_columns(source: SourceTable, shape: TableShape) -> ColumnPlan:
    """Find, check and cast the columns. Raises SourceError naming the column, the table and what there is."""
    found = _find(source, shape)
    reads = {ours: _read(column, ours, shape) for ours, column in found.items()}

    def text(ours: str, otherwise: str = "null::text") -> str:
        return f"{reads[ours].sql}::text" if ours in reads else otherwise

    def cast(ours: str, how: Callable[[_Read], str]) -> str:
        return how(reads[ours]) if ours in reads else "null"

    occurred_at, updated_at = _instant(reads["occurred_at"]), cast("updated_at", _instant)
    key, content = text("memory_id"), reads["content"]
    # bytea::text is a hex dump, which nobody wants to remember
    if content.kind == "bytea":
        raise SourceError(f"{content.label} is bytea; map `content:` to a text column")
    expressions = {
        "memory_id": key,
        "agent_id": f"coalesce({text('agent_id', 'null')}, {_literal(source.agent_id)})",
        "session_id": text("session_id"),
        "speaker": text("speaker"),
        "content": text("content"),
        "occurred_at": f"case when {_is_holdable(occurred_at)} then {occurred_at} end",
        "updated_at": f"(case when {_is_holdable(updated_at)} then {updated_at} end)::timestamptz",
        "importance": f"({cast('importance', _number)})::float8",
        "arousal": f"({cast('arousal', _number)})::float8",
        "tags": f"({cast('tags', _tags)})::text[]",
        "metadata": f"({cast('metadata', _metadata)})::text",
        "deleted_at": f"({_deleted_at(cast('deleted_at', _instant), occurred_at)})::timestamptz",
        "embedding": f"({cast('embedding', _embedding)})::real[]",
        "problem": (
            f"case when {key} is null then 'no id' when {occurred_at} is null then 'no time' "
            f"when not {_is_holdable(occurred_at)} then 'a time outside the years 1 to 9999' end"
        ),
    }
    select_list = ", ".join(f"{sql} as {ours}" for ours, sql in expressions.items())
    is_deleted = f"{expressions['deleted_at']} is not null"
    key_list = f"{key} as memory_id, {is_deleted} as is_deleted, {expressions['problem']} as problem"
    has_key = found["memory_id"].name in shape.unique_columns
    shown = {ours: column.name or str(column.expression) for ours, column in found.items()}
    return ColumnPlan(select_list, key_list, key, has_key, shown)


def _read(column: Column, ours: str, shape: TableShape) -> _Read:
    if column.name is not None:
        return _Read(_quote(column.name), shape.columns[column.name], f"column {shape.label}.{column.name}")
    return _Read(f"({column.expression})", shape.expressions[ours], f"the expression for {ours} of {shape.label}")


def _find(source: SourceTable, shape: TableShape) -> dict[str, Column]:
    """What each of our columns is read from: as mapped, else by name."""
    by_lower = {name.lower(): name for name in reversed(list(shape.columns))}
    found: dict[str, Column] = {}
    for ours, names in SYNONYMS[source.kind].items():
        mapped = source.columns.get(ours)
        if mapped is not None:
            if mapped.name is not None and mapped.name not in shape.columns:
                raise SourceError(
                    f"column {mapped.name!r}, mapped to {ours}, is not in {shape.label}; correct it in source.yml "
                    f"(the table has {', '.join(shape.columns)})"
                )
            if not mapped.is_left_out:
                found[ours] = mapped
            continue
        taken = {column.name for column in (*source.columns.values(), *found.values())}
        free = [by_lower[name] for name in names if name in by_lower and by_lower[name] not in taken]
        if ours == "embedding":
            free = [name for name in free if _is_vector(shape.columns[name])]
        if free:
            found[ours] = Column(name=free[0])
    missing = [ours for ours in REQUIRED[source.kind] if ours not in found]
    if missing:
        looked_for = "; ".join(f"{ours}: {', '.join(SYNONYMS[source.kind][ours])}" for ours in missing)
        raise SourceError(
            f"{shape.label} has no column for {' and '.join(missing)}; map it under `columns:` in source.yml "
            f"(the table has {', '.join(shape.columns) or 'no columns'}; looked for {looked_for})"
        )
    return found


def _instant(read: _Read) -> str:
    if read.kind in TIMESTAMPS:
        return TIMESTAMPS[read.kind].format(read.sql)
    if read.kind in NUMBERS:
        return f"to_timestamp({read.sql}::float8)"
    if read.kind in TEXTS:
        return f"nullif(trim({read.sql}::text), '')::timestamptz"
    raise SourceError(
        f"{read.label} is {read.kind}; a time must be a timestamp, a date, seconds since 1970, or ISO text"
    )


def _is_holdable(instant: str) -> str:
    return f"({instant} >= '{FIRST_INSTANT}'::timestamptz and {instant} < '{LAST_INSTANT}'::timestamptz)"


def _deleted_at(instant: str, occurred_at: str) -> str:
    """Infinity means never; a time too early to hold means ever since."""
    if instant == "null":
        return "null"
    return (
        f"case when {instant} >= '{LAST_INSTANT}'::timestamptz then null "
        f"when {instant} < '{FIRST_INSTANT}'::timestamptz then {occurred_at} else {instant} end"
    )


def _number(read: _Read) -> str:
    if read.kind not in NUMBERS:
        raise SourceError(
            f"{read.label} is {read.kind}; it must be a number (importance, arousal). Map another, or null"
        )
    value = f"{read.sql}::float8"
    return f"case when {value} not in ('NaN', 'Infinity', '-Infinity') then {value} end"


def _tags(read: _Read) -> str:
    if read.kind.endswith("[]"):
        # through unnest, because DuckDB takes no array of arrays
        return f"case when {read.sql} is not null then array(select unnest({read.sql})::text) end"
    if read.kind in JSONS:
        value = f"{read.sql}::jsonb"
        return (
            f"case jsonb_typeof({value}) when 'array' then array(select jsonb_array_elements_text({value})) "
            f"when 'string' then array[{value} #>> '{{}}'] end"
        )
    return f"case when {read.sql} is not null then regexp_split_to_array(trim({read.sql}::text), '\\s*[,;]\\s*') end"


def _metadata(read: _Read) -> str:
    return f"{read.sql}::text" if read.kind in JSONS else f"to_jsonb({read.sql})::text"


def _embedding(read: _Read) -> str:
    if _is_vector(read.kind):
        return f"{read.sql}::real[]"
    raise SourceError(
        f"{read.label} is {read.kind}; an embedding must be a vector, a halfvec or an array of numbers. Map another, "
        "cast it in an expression, or map null"
    )


def _is_vector(kind: str) -> bool:
    # an extension's type is written with its schema when that is not on the search path
    return kind.rsplit(".", 1)[-1] in ("vector", "halfvec") or (kind.endswith("[]") and kind[:-2] in NUMBERS)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
