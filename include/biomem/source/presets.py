"""Mappings for the tables of known memory systems, and one that goes by names and types for every other table.

Facts about the systems: Codex Memory keeps `memories` (id, content, content_hash, context, summary, metadata, tags,
created_at, updated_at), its tiered releases add embedding, tier, status and importance_score. Mem0's pgvector store
keeps (id, vector, payload); its Python writes the payload's keys as created_at, user_id, its TypeScript as createdAt,
userId.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from biomem.errors import SourceError
from biomem.source import casts
from biomem.source.columns import CASTS, columns_by_name, read_column
from biomem.source.mapping import MEMORIES, REQUIRED, SYNONYMS, Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from biomem.source.table import TableShape

INSTANTS = ("timestamp with time zone", "timestamp without time zone", "date")
CODEX, MEM0, GENERIC = "codex", "mem0", "generic"


@dataclass(frozen=True)
class Choice:
    """What one of our columns is to be read from, and why, in a few words."""

    column: Column
    reason: str = ""


@dataclass(frozen=True)
class _Option:
    """A way to read one of our columns in a known system; it applies when the table has all of `needs`."""

    column: Column
    needs: tuple[str, ...]
    reason: str = ""

    def fits(self, shape: TableShape) -> bool:
        return all(_has(shape, need) for need in self.needs)


def _has(shape: TableShape, need: str) -> bool:
    """Whether the table has the column `name`, or `name jsonb` of that type."""
    name, _, kind = need.partition(" ")
    return name in shape.columns and kind in ("", shape.columns[name])


def _plain(name: str) -> _Option:
    return _Option(Column(name=name), (name,))


def _sql(expression: str, *needs: str, reason: str = "") -> _Option:
    return _Option(Column(expression=expression), needs, reason)


def _keys(*keys: str) -> str:
    """The first of several keys of Mem0's payload that has a value."""
    found = ", ".join(f"payload->>'{key}'" for key in keys)
    return f"coalesce({found})" if len(keys) > 1 else found


MEM0_KEYS = (
    *("data", "hash", "created_at", "createdAt", "updated_at", "updatedAt", "text_lemmatized"),
    *("agent_id", "agentId", "user_id", "userId", "run_id", "runId", "actor_id", "actorId", "role"),
)
PRESETS: Mapping[str, Mapping[str, tuple[_Option, ...]]] = {
    CODEX: {
        "memory_id": (_plain("id"),),
        "content": (_plain("content"),),
        "occurred_at": (_plain("created_at"),),
        "updated_at": (_plain("updated_at"),),
        "importance": (_plain("importance_score"),),
        "tags": (_plain("tags"),),
        "metadata": (
            _sql(
                "coalesce(metadata, '{}') || jsonb_strip_nulls(jsonb_build_object('context', context, 'summary', "
                "summary))",
                *("metadata jsonb", "context", "summary"),
                reason="with context and summary",
            ),
            _plain("metadata"),
        ),
        "deleted_at": (
            _sql(
                "case when status::text = 'deleted' then updated_at end", "status", "updated_at", reason="soft deletion"
            ),
        ),
        "embedding": (_plain("embedding"),),
    },
    MEM0: {
        "memory_id": (_plain("id"),),
        "content": (_sql(_keys("data"), "payload"),),
        "occurred_at": (_sql(_keys("created_at", "createdAt"), "payload"),),
        "agent_id": (
            _sql(
                _keys("agent_id", "agentId", "user_id", "userId"),
                "payload",
                reason="the user's, where no agent is named",
            ),
        ),
        "session_id": (_sql(_keys("run_id", "runId"), "payload"),),
        "speaker": (_sql(_keys("actor_id", "actorId", "role"), "payload"),),
        "updated_at": (_sql(_keys("updated_at", "updatedAt"), "payload"),),
        "metadata": (
            _sql(f"payload - '{{{','.join(MEM0_KEYS)}}}'::text[]", "payload", reason="whatever else the payload has"),
        ),
        "embedding": (_plain("vector"),),
    },
}
# which table is whose, for a draft without --preset: the names that no other system has together
SIGNATURES = {CODEX: ("id", "content", "content_hash", "created_at"), MEM0: ("id", "payload jsonb")}
PRESET_NAMES = (*PRESETS, GENERIC)


def recognise(shape: TableShape) -> str:
    """The preset whose signature the table's columns have, or `generic`."""
    fitting = (name for name, needs in SIGNATURES.items() if all(_has(shape, need) for need in needs))
    return next(fitting, GENERIC)


def choose_columns(shape: TableShape, kind: str, preset: str) -> dict[str, Choice]:
    """What each of our columns is to be read from. Columns without a choice are missing from the result.

    A choice of a column that is left out says why. Raises SourceError when the table is not of the preset's system.
    """
    if preset == GENERIC:
        return dict(_by_name_and_type(shape, kind))
    absent = [need for need in SIGNATURES[preset] if not _has(shape, need)]
    if absent or kind != MEMORIES:
        raise SourceError(
            f"{shape.label} is no table of {preset}: it has no {' and no '.join(absent) or 'memories'}; "
            f"try --preset {GENERIC}"
        )
    chosen = {
        ours: next((option for option in options if option.fits(shape)), None)
        for ours, options in PRESETS[preset].items()
    }
    return {ours: Choice(option.column, option.reason) for ours, option in chosen.items() if option is not None}


def _by_name_and_type(shape: TableShape, kind: str) -> Iterator[tuple[str, Choice]]:
    taken: set[str] = set()
    for ours in SYNONYMS[kind]:
        choice = _fitting(ours, shape, kind, taken)
        if choice is not None:
            taken.update({choice.column.name} if choice.column.name else ())
            yield ours, choice


def _fitting(ours: str, shape: TableShape, kind: str, taken: set[str]) -> Choice | None:
    """By name first, then, for what cannot be done without, the only column that it can be."""
    refused = None
    for name in columns_by_name(ours, kind, shape):
        if name in taken:
            continue
        try:
            CASTS[kind][ours](read_column(Column(name=name), ours, shape))
        except SourceError as error:
            refused = refused or Choice(Column(), str(error).split(";", 1)[0])
        else:
            return Choice(Column(name=name))
    if ours in REQUIRED[kind]:
        only = [name for name in _possible(ours, shape, kind) if name not in taken]
        return Choice(Column(name=only[0]), "the only one it can be") if len(only) == 1 else None
    if ours == "deleted_at" and kind == MEMORIES:
        return _flagged_deletion(shape) or refused
    return refused


def _possible(ours: str, shape: TableShape, kind: str) -> list[str]:
    if ours in ("memory_id", "access_id"):
        # an access's memory has an id too, but no unique one
        return [name for name in shape.columns if name in shape.unique_columns]
    wanted = casts.TEXTS if ours == "content" else INSTANTS
    # a column that is called like something else is something else
    others = {name for other in SYNONYMS[kind] if other != ours for name in columns_by_name(other, kind, shape)}
    known = others | shape.unique_columns
    return [name for name, type_name in shape.columns.items() if type_name in wanted and name not in known]


def _flagged_deletion(shape: TableShape) -> Choice | None:
    """A deletion that is only a flag counts from the row's last update."""
    flags = [name for name in ("is_deleted", "deleted") if shape.columns.get(name) == "boolean"]
    if not flags or shape.columns.get("updated_at") not in INSTANTS:
        return None
    return Choice(Column(expression=f"case when {flags[0]} then updated_at end"), "soft deletion")
