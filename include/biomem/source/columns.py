"""From a table's columns to the SELECT that brings each over exactly: found by name, cast by type, nothing guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from biomem.errors import SourceError
from biomem.source import casts
from biomem.source.mapping import ACCESS_LOG, MEMORIES, REQUIRED, SYNONYMS, Column
from biomem.warehouse.connection import quote_identifier, quote_literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from biomem.source.mapping import SourceTable
    from biomem.source.table import TableShape

# how each of our columns is read, by the kind of source
CASTS: Mapping[str, Mapping[str, Callable[[casts.Value], str]]] = {
    MEMORIES: {
        "memory_id": casts.label,
        "content": casts.text,
        "occurred_at": casts.instant,
        "agent_id": casts.label,
        "session_id": casts.label,
        "speaker": casts.label,
        "updated_at": casts.instant,
        "importance": casts.number,
        "arousal": casts.number,
        "tags": casts.tags,
        "metadata": casts.metadata,
        "deleted_at": casts.instant,
        "embedding": casts.embedding,
    },
    ACCESS_LOG: {
        "access_id": casts.label,
        "memory_id": casts.label,
        "accessed_at": casts.instant,
        "agent_id": casts.label,
        "kind": casts.label,
        "grade": casts.number,
    },
}
ACCESS_KINDS = ("retrieve", "restudy")
DEFAULT_GRADE = 3


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
class AccessPlan:
    """How to read an access log.

    `select_list` yields the columns of `raw.access_log` that come from the source, and `problem`: why a row cannot be
    taken, or null. The other fields are as in `ColumnPlan`.
    """

    select_list: str
    key: str
    has_key: bool
    found: Mapping[str, str]


def plan_columns(source: SourceTable, shape: TableShape) -> ColumnPlan:
    """Find, check and cast the columns. Raises SourceError naming the column, the table and what there is."""
    found = find_columns(source, shape)
    sql = _cast_all(found, shape, source.kind)
    key, occurred_at, updated_at = sql["memory_id"], sql["occurred_at"], sql["updated_at"]
    expressions = {
        "memory_id": key,
        "agent_id": f"coalesce({sql['agent_id']}, {quote_literal(source.agent_id)})",
        "session_id": f"({sql['session_id']})::text",
        "speaker": f"({sql['speaker']})::text",
        "content": sql["content"],
        "occurred_at": f"case when {casts.is_holdable(occurred_at)} then {occurred_at} end",
        "updated_at": f"(case when {casts.is_holdable(updated_at)} then {updated_at} end)::timestamptz",
        "importance": f"({sql['importance']})::float8",
        "arousal": f"({sql['arousal']})::float8",
        "tags": f"({sql['tags']})::text[]",
        "metadata": f"({sql['metadata']})::text",
        "deleted_at": f"({casts.deletion(sql['deleted_at'], occurred_at)})::timestamptz",
        "embedding": f"({sql['embedding']})::real[]",
        "problem": _problem(key, occurred_at),
    }
    is_deleted = f"{expressions['deleted_at']} is not null"
    key_list = f"{key} as memory_id, {is_deleted} as is_deleted, {expressions['problem']} as problem"
    return ColumnPlan(_listed(expressions), key_list, key, _has_key(found["memory_id"], shape), _shown(found))


def plan_accesses(source: SourceTable, shape: TableShape) -> AccessPlan:
    """The same for an access log. An access without a kind is a retrieval, and one without a grade was good (3)."""
    found = find_columns(source, shape)
    sql = _cast_all(found, shape, source.kind)
    key, memory_id, accessed_at = sql["access_id"], sql["memory_id"], sql["accessed_at"]
    kind = f"coalesce({sql['kind']}, '{ACCESS_KINDS[0]}')"
    grade = f"coalesce({sql['grade']}, {DEFAULT_GRADE})"
    kinds = ", ".join(f"'{name}'" for name in ACCESS_KINDS)
    expressions = {
        "access_id": key,
        "memory_id": memory_id,
        "agent_id": f"coalesce({sql['agent_id']}, {quote_literal(source.agent_id)})",
        "accessed_at": f"case when {casts.is_holdable(accessed_at)} then {accessed_at} end",
        "kind": kind,
        "grade": f"case when {grade} in (1, 2, 3, 4) then ({grade})::integer end",
        "problem": (
            f"coalesce({_problem(key, accessed_at)}, case when {memory_id} is null then 'no memory id' "
            f"when {kind} not in ({kinds}) then 'a kind other than {' and '.join(ACCESS_KINDS)}' "
            f"when {grade} not in (1, 2, 3, 4) then 'a grade other than 1, 2, 3 and 4' end)"
        ),
    }
    return AccessPlan(_listed(expressions), key, _has_key(found["access_id"], shape), _shown(found))


def _cast_all(found: Mapping[str, Column], shape: TableShape, kind: str) -> dict[str, str]:
    """Each of our columns as SQL; null for one that was not found."""
    return {
        ours: how(read_column(found[ours], ours, shape)) if ours in found else "null"
        for ours, how in CASTS[kind].items()
    }


def read_column(column: Column, ours: str, shape: TableShape) -> casts.Value:
    """A mapped column as SQL, with its type."""
    if column.name is not None:
        return casts.Value(
            quote_identifier(column.name), shape.columns[column.name], f"column {shape.label}.{column.name}"
        )
    return casts.Value(f"({column.expression})", shape.expressions[ours], f"the expression for {ours} of {shape.label}")


def find_columns(source: SourceTable, shape: TableShape) -> dict[str, Column]:
    """What each of our columns is read from: as mapped, else by its name, however that is written (createdAt).

    Raises SourceError for a mapped column that is not there and for a required one that was not found.
    """
    found: dict[str, Column] = {}
    for ours in SYNONYMS[source.kind]:
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
        free = [name for name in columns_by_name(ours, source.kind, shape) if name not in taken]
        if ours == "embedding":
            # found by name alone it must not stop a pull that never asked for it
            free = [name for name in free if casts.is_vector(shape.columns[name])]
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


def columns_by_name(ours: str, kind: str, shape: TableShape) -> list[str]:
    """The table's columns that are named as one of ours may be, the surest first."""
    by_plain = {_plain(name): name for name in reversed(list(shape.columns))}
    return [by_plain[plain] for plain in map(_plain, SYNONYMS[kind][ours]) if plain in by_plain]


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _problem(key: str, instant: str) -> str:
    return (
        f"case when {key} is null then 'no id' when {instant} is null then 'no time' "
        f"when not {casts.is_holdable(instant)} then 'a time outside the years 1 to 9999' end"
    )


def _listed(expressions: Mapping[str, str]) -> str:
    return ", ".join(f"{sql} as {ours}" for ours, sql in expressions.items())


def _has_key(column: Column, shape: TableShape) -> bool:
    return column.name in shape.unique_columns


def _shown(found: Mapping[str, Column]) -> dict[str, str]:
    return {ours: column.name or str(column.expression) for ours, column in found.items()}
