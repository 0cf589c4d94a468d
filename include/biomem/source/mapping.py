"""Which tables to pull and what their columns mean: `BIOMEM_SOURCE_TABLE`, or `<home>/source.yml`.

Without a file there is one source, its columns found by their names. With one (`biomem source map` drafts it):

    sources:
      diary:
        table: app."Diary"
        columns:                     # ours: theirs; what is not named here is found by its name
          content: entry
          occurred_at: {expression: "to_timestamp(written_ms / 1000.0)"}
          importance: null           # leave it out, although there is a column of that name
        agent_id: pepys              # for a table without such a column
        reconcile_every: 20          # polls between two comparisons of all keys
        cursor: xmin_window          # or xid8_column with cursor_column, or logical_slot with slot
        wake_up: false               # true: what is committed is taken in at once (`biomem source wake-up`)
      recalls:
        kind: access_log             # accesses to memories, beside the target's memory.access_log
        table: app.recalls
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from biomem.errors import ConfigurationError
from biomem.source.expressions import check_expression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biomem.settings import Settings

DEFAULT_AGENT = "default"
RECONCILE_EVERY = 20
MEMORIES, ACCESS_LOG = "memories", "access_log"
XMIN_WINDOW, XID8_COLUMN, LOGICAL_SLOT = CURSORS = ("xmin_window", "xid8_column", "logical_slot")
CURSOR_COLUMN = "row_xid"
TARGET_LOG = "memory.access_log"  # pulled beside all others, and so no name for one of them

# Names that tables in the wild give these columns, the surest first.
MEMORY_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "memory_id": ("memory_id", "id", "uuid", "message_id", "event_id"),
    "content": ("content", "text", "body", "message", "memory", "note", "data"),
    "occurred_at": ("occurred_at", "happened_at", "event_time", "created_at", "timestamp", "ts", "inserted_at", "date"),
    "agent_id": ("agent_id", "agent", "assistant_id", "user_id"),
    "session_id": ("session_id", "session", "conversation_id", "thread_id", "chat_id"),
    "speaker": ("speaker", "role", "author", "sender"),
    "updated_at": ("updated_at", "modified_at"),
    "importance": ("importance", "importance_score", "salience"),
    "arousal": ("arousal",),
    "tags": ("tags", "labels", "keywords"),
    "metadata": ("metadata", "meta", "properties"),
    "deleted_at": ("deleted_at", "removed_at"),
    "embedding": ("embedding", "embeddings", "vector"),
}
ACCESS_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "access_id": ("access_id", "id", "uuid", "event_id"),
    "memory_id": ("memory_id", "memory"),
    "accessed_at": ("accessed_at", "recalled_at", "occurred_at", "created_at", "timestamp", "ts"),
    "agent_id": ("agent_id", "agent", "assistant_id", "user_id"),
    "kind": ("kind", "access_type"),
    "grade": ("grade", "rating"),
}
SYNONYMS = {MEMORIES: MEMORY_SYNONYMS, ACCESS_LOG: ACCESS_SYNONYMS}
REQUIRED = {
    MEMORIES: ("memory_id", "content", "occurred_at"),
    ACCESS_LOG: ("access_id", "memory_id", "accessed_at"),
}
SETTINGS = ("kind", "table", "columns", "agent_id", "reconcile_every", "cursor", "cursor_column", "slot", "wake_up")


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, except that a key given twice is a mistake: it would lose what stood there first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(problem=f"{', '.join(twice)} twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class Column:
    """What one of our columns is read from: a column of the table, an SQL expression over one row of it, or nothing.

    At most one of `name` and `expression` is set; with neither the column is left out, whatever the table has.
    """

    name: str | None = None
    expression: str | None = None

    @property
    def is_left_out(self) -> bool:
        return self.name is None and self.expression is None


@dataclass(frozen=True)
class SourceTable:
    """One table to pull.

    `columns` holds the mapped ones by our names; the rest are found by `SYNONYMS[kind]`. `cursor` is one of `CURSORS`:
    `cursor_column` is set with `xid8_column` and only then; `slot` may be set with `logical_slot`, None leaves its
    name to the cursor. `wake_up` says that a trigger on the table tells when it was written (`biomem.source.wake_up`).
    """

    name: str
    schema: str
    table: str
    columns: Mapping[str, Column] = field(default_factory=dict)
    agent_id: str = DEFAULT_AGENT
    reconcile_every: int = RECONCILE_EVERY
    kind: str = MEMORIES
    cursor: str = XMIN_WINDOW
    cursor_column: str | None = None
    slot: str | None = None
    wake_up: bool = False

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.table}"

    @property
    def expressions(self) -> Mapping[str, str]:
        """The SQL expressions by our names."""
        return {ours: column.expression for ours, column in self.columns.items() if column.expression is not None}


def load_sources(settings: Settings) -> list[SourceTable]:
    """The sources to pull, in the file's order. Raises ConfigurationError that names what is wrong in the file."""
    path = settings.mapping_path
    if not path.exists():
        schema, table = split_table(settings.source_table)
        return [SourceTable(f"{schema}.{table}", schema, table)]
    return parse_sources(path.read_text(encoding="utf-8"), str(path))


def parse_sources(text: str, where: str) -> list[SourceTable]:
    """The sources that the mapping `text` holds; `where` is what errors call it. Raises ConfigurationError."""
    try:
        document = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{where} is not YAML: {error}") from error
    entries = document.get("sources") if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise ConfigurationError(f"{where} must hold `sources:` with at least one named source below it")
    _refuse_unknown(document, ("sources",), where)
    sources = [_read_source(str(name), entry, f"{where}: source {name!r}") for name, entry in entries.items()]
    slots = [source.slot for source in sources if source.slot is not None]
    shared = sorted({slot for slot in slots if slots.count(slot) > 1})
    if shared:
        raise ConfigurationError(f"{where}: a slot can feed one source only, and several name {', '.join(shared)}")
    return sources


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
    if name == TARGET_LOG:
        raise ConfigurationError(f"{where}: the target's own access log has that name; choose another")
    if not isinstance(entry, dict) or not isinstance(entry.get("table"), str):
        raise ConfigurationError(f"{where} must name its `table:`")
    _refuse_unknown(entry, SETTINGS, where)
    kind = _choose(entry, "kind", tuple(SYNONYMS), where)
    every = entry.get("reconcile_every", RECONCILE_EVERY)
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise ConfigurationError(f"{where}: reconcile_every must be a whole number of at least 1, got {every!r}")
    wake_up = entry.get("wake_up", False)
    if not isinstance(wake_up, bool):
        raise ConfigurationError(f"{where}: wake_up must be true or false, got {wake_up!r}")
    # a log is only added to, which the window sees at no cost
    cursor = _choose(entry, "cursor", CURSORS if kind == MEMORIES else (XMIN_WINDOW,), where)
    schema, table = split_table(entry["table"])
    return SourceTable(
        name=name,
        schema=schema,
        table=table,
        columns=_read_columns(entry.get("columns") or {}, kind, f"{where}: columns"),
        agent_id=str(entry.get("agent_id", DEFAULT_AGENT)),
        reconcile_every=every,
        kind=kind,
        cursor=cursor,
        cursor_column=_of_cursor(entry, "cursor_column", XID8_COLUMN, cursor, where, CURSOR_COLUMN),
        slot=_read_slot(entry, cursor, where),
        wake_up=wake_up,
    )


def _read_columns(entry: Any, kind: str, where: str) -> dict[str, Column]:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{where} must map our names to the table's")
    identity = REQUIRED[kind][0]
    if "id" in entry and identity in entry:
        raise ConfigurationError(f"{where}: id and {identity} are the same; keep one")
    named = {identity if ours == "id" else ours: theirs for ours, theirs in entry.items()}
    _refuse_unknown(named, tuple(SYNONYMS[kind]), where)
    columns = {ours: _read_column(theirs, f"{where}: {ours}") for ours, theirs in named.items()}
    for ours in REQUIRED[kind]:
        if ours in columns and columns[ours].is_left_out:
            raise ConfigurationError(f"{where}: {ours} cannot be left out; name a column or an expression")
    return columns


def _read_column(theirs: Any, where: str) -> Column:
    if theirs is None:
        return Column()
    if isinstance(theirs, str) and theirs:
        return Column(name=theirs)
    if isinstance(theirs, dict) and set(theirs) == {"expression"} and isinstance(theirs["expression"], str):
        check_expression(theirs["expression"], where)
        return Column(expression=theirs["expression"].strip())
    raise ConfigurationError(
        f'{where} must be the name of a column, null, or {{expression: "..."}}; got {theirs!r} (put quotes around a '
        "name that YAML takes for something else)"
    )


def _read_slot(entry: Mapping[str, Any], cursor: str, where: str) -> str | None:
    slot = _of_cursor(entry, "slot", LOGICAL_SLOT, cursor, where, None)
    if slot is not None and not re.fullmatch(r"[a-z0-9_]{1,63}", slot):
        raise ConfigurationError(f"{where}: slot {slot!r} must be 1 to 63 of a-z, 0-9 and _ (PostgreSQL's rule)")
    return slot


def _of_cursor(
    entry: Mapping[str, Any], key: str, owner: str, cursor: str, where: str, otherwise: str | None
) -> str | None:
    """A setting that only one cursor has."""
    value = entry.get(key)
    if value is not None and cursor != owner:
        raise ConfigurationError(f"{where}: {key} belongs to `cursor: {owner}`, and the cursor is {cursor}")
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigurationError(f"{where}: {key} must be a name, got {value!r}")
    return value or (otherwise if cursor == owner else None)


def _choose(entry: Mapping[str, Any], key: str, choices: tuple[str, ...], where: str) -> str:
    value = entry.get(key, choices[0])
    if value not in choices:
        raise ConfigurationError(f"{where}: {key} must be one of {', '.join(choices)}; got {value!r}")
    return str(value)


def _refuse_unknown(entry: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    unknown = [str(key) for key in entry if key not in known]
    if unknown:
        raise ConfigurationError(f"{where}: {', '.join(unknown)} is not known; there are {', '.join(known)}")
