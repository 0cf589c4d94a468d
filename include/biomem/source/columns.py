"""From a table's columns to the SELECT that brings each over exactly: found by name, cast by type, nothing guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from biomem.errors import SourceError
from biomem.source.mapping import REQUIRED, SYNONYMS

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    as text; `has_key` says that the source itself keeps it unique.
    """

    select_list: str
    key_list: str
    key: str
    has_key: bool
    found: Mapping[str, str]


def plan_columns(source: SourceTable, shape: TableShape) -> ColumnPlan:
    """Find, check and cast the columns. Raises SourceError naming the column, the table and what there is."""
    found = _find(source, shape)
    quoted = {ours: _quote(theirs) for ours, theirs in found.items()}
    types = {ours: shape.columns[theirs] for ours, theirs in found.items()}

    def column(ours: str, cast: str, otherwise: str = "null") -> str:
        return cast.format(quoted[ours]) if ours in found else otherwise

    def instant(ours: str) -> str:
        return _instant(quoted[ours], types[ours], f"{shape.label}.{found[ours]}") if ours in found else "null"

    def number(ours: str) -> str:
        return _number(quoted[ours], types[ours], f"{shape.label}.{found[ours]}") if ours in found else "null"

    occurred_at, updated_at = instant("occurred_at"), instant("updated_at")
    key = f"{quoted['memory_id']}::text"
    # bytea::text is a hex dump, which nobody wants to remember
    if types["content"] == "bytea":
        raise SourceError(f"column {found['content']!r} of {shape.label} is bytea; map `content:` to a text column")
    expressions = {
        "memory_id": key,
        "agent_id": f"coalesce({column('agent_id', '{}::text')}, {_literal(source.agent_id)})",
        "session_id": column("session_id", "{}::text", "null::text"),
        "speaker": column("speaker", "{}::text", "null::text"),
        "content": column("content", "{}::text"),
        "occurred_at": f"case when {_is_holdable(occurred_at)} then {occurred_at} end",
        "updated_at": f"(case when {_is_holdable(updated_at)} then {updated_at} end)::timestamptz",
        "importance": f"({number('importance')})::float8",
        "arousal": f"({number('arousal')})::float8",
        "tags": f"({_tags(quoted['tags'], types['tags']) if 'tags' in found else 'null'})::text[]",
        "metadata": _metadata(quoted["metadata"], types["metadata"]) if "metadata" in found else "null::text",
        "deleted_at": f"({_deleted_at(instant('deleted_at'), occurred_at)})::timestamptz",
        "problem": (
            f"case when {quoted['memory_id']} is null then 'no id' when {occurred_at} is null then 'no time' "
            f"when not {_is_holdable(occurred_at)} then 'a time outside the years 1 to 9999' end"
        ),
    }
    select_list = ", ".join(f"{expression} as {name}" for name, expression in expressions.items())
    is_deleted = f"{expressions['deleted_at']} is not null"
    key_list = f"{key} as memory_id, {is_deleted} as is_deleted, {expressions['problem']} as problem"
    return ColumnPlan(select_list, key_list, key, found["memory_id"] in shape.unique_columns, found)


def _find(source: SourceTable, shape: TableShape) -> dict[str, str]:
    by_lower = {name.lower(): name for name in reversed(list(shape.columns))}
    found: dict[str, str] = {}
    for ours, names in SYNONYMS.items():
        mapped = source.columns.get(ours)
        if mapped is not None:
            if mapped not in shape.columns:
                raise SourceError(
                    f"column {mapped!r}, mapped to {ours}, is not in {shape.label}; correct it in source.yml "
                    f"(the table has {', '.join(shape.columns)})"
                )
            found[ours] = mapped
            continue
        taken = set(source.columns.values()) | set(found.values())
        free = [by_lower[name] for name in names if name in by_lower and by_lower[name] not in taken]
        if free:
            found[ours] = free[0]
    missing = [ours for ours in REQUIRED if ours not in found]
    if missing:
        looked_for = "; ".join(f"{ours}: {', '.join(SYNONYMS[ours])}" for ours in missing)
        raise SourceError(
            f"{shape.label} has no column for {' and '.join(missing)}; map it under `columns:` in source.yml "
            f"(the table has {', '.join(shape.columns) or 'no columns'}; looked for {looked_for})"
        )
    return found


def _instant(column: str, kind: str, label: str) -> str:
    if kind in TIMESTAMPS:
        return TIMESTAMPS[kind].format(column)
    if kind in NUMBERS:
        return f"to_timestamp({column}::float8)"
    if kind in TEXTS:
        return f"nullif(trim({column}::text), '')::timestamptz"
    raise SourceError(f"column {label} is {kind}; a time must be a timestamp, a date, seconds since 1970, or ISO text")


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


def _number(column: str, kind: str, label: str) -> str:
    if kind not in NUMBERS:
        raise SourceError(f"column {label} is {kind}; it must be a number (importance, arousal). Map another, or none")
    value = f"{column}::float8"
    return f"case when {value} not in ('NaN', 'Infinity', '-Infinity') then {value} end"


def _tags(column: str, kind: str) -> str:
    if kind.endswith("[]"):
        # through unnest, because DuckDB takes no array of arrays
        return f"case when {column} is not null then array(select unnest({column})::text) end"
    if kind in JSONS:
        value = f"{column}::jsonb"
        return (
            f"case jsonb_typeof({value}) when 'array' then array(select jsonb_array_elements_text({value})) "
            f"when 'string' then array[{value} #>> '{{}}'] end"
        )
    return f"case when {column} is not null then regexp_split_to_array(trim({column}::text), '\\s*[,;]\\s*') end"


def _metadata(column: str, kind: str) -> str:
    return f"{column}::text" if kind in JSONS else f"to_jsonb({column})::text"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
