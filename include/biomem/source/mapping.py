"""Which tables to pull and which of their columns mean what: `BIOMEM_SOURCE_TABLE`, or `<home>/source.yml`.

Without a file there is one source, its columns found by their names. With one:

    sources:
      diary:
        table: app."Diary"
        columns: {content: entry, occurred_at: written}   # the others are found by name
        agent_id: pepys              # for a table without such a column
        reconcile_every: 20          # polls between two comparisons of all keys
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from biomem.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biomem.settings import Settings

DEFAULT_AGENT = "default"
RECONCILE_EVERY = 20

# Names that tables in the wild give these columns, the surest first.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "memory_id": ("memory_id", "id", "uuid", "message_id", "event_id"),
    "content": ("content", "text", "body", "message", "memory", "note", "data"),
    "occurred_at": ("occurred_at", "happened_at", "event_time", "created_at", "timestamp", "ts", "inserted_at", "date"),
    "agent_id": ("agent_id", "agent", "assistant_id", "user_id"),
    "session_id": ("session_id", "session", "conversation_id", "thread_id", "chat_id"),
    "speaker": ("speaker", "role", "author", "sender"),
    "updated_at": ("updated_at", "modified_at"),
    "importance": ("importance", "salience"),
    "arousal": ("arousal",),
    "tags": ("tags", "labels", "keywords"),
    "metadata": ("metadata", "meta", "properties"),
    "deleted_at": ("deleted_at", "removed_at"),
}
REQUIRED = ("memory_id", "content", "occurred_at")
SETTINGS = ("table", "columns", "agent_id", "reconcile_every")


@dataclass(frozen=True)
class SourceTable:
    """One table to pull. `columns` holds the mapped ones (our name to theirs); the rest are found by `SYNONYMS`."""

    name: str
    schema: str
    table: str
    columns: Mapping[str, str] = field(default_factory=dict)
    agent_id: str = DEFAULT_AGENT
    reconcile_every: int = RECONCILE_EVERY

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.table}"


def load_sources(settings: Settings) -> list[SourceTable]:
    """The sources to pull, in the file's order. Raises ConfigurationError that names what is wrong in the file."""
    path = settings.mapping_path
    if not path.exists():
        schema, table = split_table(settings.source_table)
        return [SourceTable(f"{schema}.{table}", schema, table)]
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from error
    entries = document.get("sources") if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise ConfigurationError(f"{path} must hold `sources:` with at least one named source below it")
    return [_read_source(str(name), entry, f"{path}: source {name!r}") for name, entry in entries.items()]


def choose_source(settings: Settings, name: str | None) -> list[SourceTable]:
    """All sources, or the one of that name. Raises ConfigurationError that lists the names there are."""
    sources = load_sources(settings)
    chosen = [source for source in sources if name in (None, source.name)]
    if not chosen:
        known = ", ".join(source.name for source in sources)
        raise ConfigurationError(f"there is no source {name!r}; the sources are: {known}")
    return chosen


def split_table(text: str) -> tuple[str, str]:
    """Schema and table of `table`, `schema.table` or `"My schema"."My table"`; schema `public` when none is given.

    Unlike in SQL, an unquoted name keeps its case.
    """
    part = r'(?:"((?:[^"]|"")+)"|([^".]+))'
    match = re.fullmatch(rf"\s*(?:{part}\.)?{part}\s*", text)
    if match is None:
        raise ConfigurationError(f'{text!r} does not name a table; write it as schema.table or "Schema"."table"')
    names = [(quoted or plain or "").replace('""', '"') for quoted, plain in (match.group(1, 2), match.group(3, 4))]
    return names[0] or "public", names[1]


def _read_source(name: str, entry: Any, where: str) -> SourceTable:
    if not isinstance(entry, dict) or not isinstance(entry.get("table"), str):
        raise ConfigurationError(f"{where} must name its `table:`")
    _refuse_unknown(entry, SETTINGS, where)
    columns = entry.get("columns") or {}
    if not isinstance(columns, dict):
        raise ConfigurationError(f"{where}: `columns:` must map our names to the table's")
    _refuse_unknown(columns, tuple(SYNONYMS), f"{where}: columns")
    every = entry.get("reconcile_every", RECONCILE_EVERY)
    if not isinstance(every, int) or every < 1:
        raise ConfigurationError(f"{where}: reconcile_every must be a whole number of at least 1, got {every!r}")
    schema, table = split_table(entry["table"])
    mapped = {str(ours): str(theirs) for ours, theirs in columns.items()}
    return SourceTable(name, schema, table, mapped, str(entry.get("agent_id", DEFAULT_AGENT)), every)


def _refuse_unknown(entry: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    unknown = [str(key) for key in entry if key not in known]
    if unknown:
        raise ConfigurationError(f"{where}: {', '.join(unknown)} is not known; there are {', '.join(known)}")
