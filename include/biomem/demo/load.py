"""Load a file of memories into the source table: streamed, in one transaction, and harmless to repeat."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal

from biomem.demo.files import MemoryFile, Row
from biomem.demo.sentences import sentences
from biomem.errors import BiomemError, ConfigurationError, InputError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import psycopg
    from psycopg import sql

    from biomem.demo.postgres import Connections
    from biomem.settings import Settings

Split = Literal["auto", "sentences", "none"]
SPLITS: tuple[Split, ...] = ("auto", "sentences", "none")

DATED_HOUR = 21  # a diary is written in the evening: memory n of a day without times happens at 21:00 UTC + 30 s * n
STEP_S = 30
ENTRIES_LOOKED_AT = 200  # to tell a diary from a list of dated one-liners
LONG_ENTRY = 400  # characters on average
LOAD_LOCK = 0x62696F6D  # advisory lock: two loads may both find the table missing

COLUMNS = (
    *("memory_id", "agent_id", "session_id", "speaker", "content", "occurred_at", "updated_at"),
    *("importance", "arousal", "tags", "metadata"),
)
TABLE_DDL = """
create table if not exists {table} (
    memory_id text primary key, agent_id text not null default 'default', session_id text, speaker text,
    content text, occurred_at timestamptz not null, updated_at timestamptz, importance double precision,
    arousal double precision, tags text[], metadata jsonb, deleted_at timestamptz)"""
INCOMING_DDL = """
create temp table incoming (
    line bigint, memory_id text, agent_id text, session_id text, speaker text, content text,
    occurred_at timestamptz, updated_at timestamptz, importance double precision, arousal double precision,
    tags text[], metadata jsonb, accesses jsonb) on commit drop"""
DIFFERENT_TWINS = """
select memory_id, min(line), max(line) from incoming group by memory_id
having count(*) > 1 and count(distinct md5(row({columns}, accesses)::text)) > 1 order by min(line) limit 1"""
DROP_TWINS = """
delete from incoming using (
    select memory_id, min(ctid) as first from incoming group by memory_id having count(*) > 1) as twin
where incoming.memory_id = twin.memory_id and incoming.ctid <> twin.first"""
UPSERT = """
with written as (
    insert into {table} as known ({columns}) select {columns} from incoming
    on conflict (memory_id) do update set {assignments} where ({known}) is distinct from ({excluded})
    returning (xmax = 0) as is_new)
select count(*) filter (where is_new), count(*) filter (where not is_new) from written"""
ACCESSES = """
select memory_id, agent_id, (access ->> 'at')::timestamptz as accessed_at, access ->> 'kind' as kind,
    (access ->> 'grade')::smallint as grade
from incoming, jsonb_array_elements(accesses) as access"""
ACCESS_COLUMNS = "memory_id, agent_id, accessed_at, kind, grade"
INSERT_ACCESSES = f"""
insert into memory.access_log ({ACCESS_COLUMNS}, origin)
select {ACCESS_COLUMNS}, 'load'
from (
    -- one memory may have been used twice in one instant
    select *, row_number() over (partition by memory_id, accessed_at, kind order by grade) as nth from incoming_access
) as incoming
left join (
    select memory_id, accessed_at, kind, count(*) as times from memory.access_log where origin = 'load' group by 1, 2, 3
) as known using (memory_id, accessed_at, kind)
where nth > coalesce(known.times, 0)
order by accessed_at, memory_id"""


@dataclass(frozen=True)
class LoadOptions:
    """How to read the file: `columns` maps fields of `biomem.demo.files.OPTIONS` to column names."""

    columns: dict[str, str] = field(default_factory=dict)
    split: Split = "auto"


def load_options(columns: Mapping[str, str | None], split: str = "auto") -> LoadOptions:
    """Return options from what a person typed. Raises ConfigurationError for a way of splitting that is not there."""
    for known in SPLITS:
        if split == known:
            return LoadOptions({name: column for name, column in columns.items() if column}, known)
    raise ConfigurationError(f"--split is one of {', '.join(SPLITS)}, got {split!r}")


@dataclass(frozen=True)
class LoadReport:
    """What a load did. Counts are of memories, but for `entries` (rows of the file) and `accesses`."""

    table: str
    entries: int
    inserted: int
    updated: int
    unchanged: int
    repeated: int  # the very same row again in the same file
    blank: int  # without text: kept in the table, and no memory until there is text
    accesses: int
    is_split: bool
    ignored_columns: list[str]

    @property
    def memories(self) -> int:
        return self.inserted + self.updated + self.unchanged


def load(
    path: Path,
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    *,
    table: str = "public.memories",
    options: LoadOptions | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> LoadReport:
    """Load the file at `path` into `table` of `source`, made when missing; accesses go to the log in `target`.

    Pass the same connection twice when both are one database: everything is then one transaction. A memory id that is
    there already is updated where the file says something else. `on_bytes` is told how much of the file has been read.
    Raises InputError for the file's faults (naming the line; nothing is loaded), SourceError for the database's.
    """
    options = options or LoadOptions()
    with translated(table), source.transaction():
        return load_in_transaction([path], source, target, table=table, options=options, on_bytes=on_bytes)


def load_in_transaction(
    paths: list[Path],
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    *,
    table: str,
    options: LoadOptions,
    on_bytes: Callable[[int], None] | None = None,
) -> LoadReport:
    """Do the same for several files that belong together, inside the caller's transaction."""
    from psycopg import sql

    name = identifier(table)
    source.execute("select pg_advisory_xact_lock(%s)", [LOAD_LOCK])
    prepare_table(source, table)
    source.execute(INCOMING_DDL)
    reader = _Reader(paths, options, on_bytes)
    copied = 0
    target_columns = ("line", *COLUMNS, "accesses")
    with (
        source.cursor() as cursor,
        cursor.copy(f"copy incoming ({', '.join(target_columns)}) from stdin") as copy,
    ):
        for row in reader.memories():
            copy.write_row((row.line, *(getattr(row, column) for column in COLUMNS), _access_json(row)))
            copied += 1
    if copied == 0:
        raise InputError(f"{paths[0]} holds no memories: it has no rows with text")
    columns = [column for column in COLUMNS if column in reader.fields()]
    _refuse_missing_columns(source, table, columns)
    repeated = _drop_twins(source, paths[0])
    kept = [sql.Identifier(column) for column in columns]
    changing = [column for column in kept if column.as_string(None) != '"memory_id"']
    counts = source.execute(
        sql.SQL(UPSERT).format(
            table=name,
            columns=sql.SQL(", ").join(kept),
            assignments=sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(column) for column in changing),
            known=sql.SQL(", ").join(sql.SQL("known.{}").format(column) for column in changing),
            excluded=sql.SQL(", ").join(sql.SQL("excluded.{}").format(column) for column in changing),
        )
    ).fetchone()
    assert counts is not None
    accesses = _load_accesses(source, target) if "accesses" in reader.fields() else 0
    source.execute(sql.SQL("analyze {}").format(name))
    return LoadReport(
        table=table,
        entries=reader.entries,
        inserted=counts[0],
        updated=counts[1],
        unchanged=copied - repeated - counts[0] - counts[1],
        repeated=repeated,
        blank=_value(source, "select count(*) from incoming where content is null"),
        accesses=accesses,
        is_split=reader.is_split,
        ignored_columns=reader.ignored(),
    )


def prepare_table(source: psycopg.Connection[Any], table: str) -> None:
    """Make the source table (and its schema) when it is missing."""
    from psycopg import sql

    name = identifier(table)
    if _value(source, "select to_regclass(%s) is null", [name.as_string(source)]):
        schema = _parts(table)[0]
        if _value(source, "select to_regnamespace(quote_ident(%s)) is null", [schema]):
            source.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        source.execute(sql.SQL(TABLE_DDL).format(table=name))


def prepare_home(settings: Settings, at: Connections) -> None:
    """Make the table that memories are written to in a fresh home: its PostgreSQL is ours, no source is mapped."""
    from biomem.source.dsn import connect

    if at.is_embedded and not settings.mapping_path.exists():
        with connect(at.source_dsn) as pg:
            prepare_table(pg, settings.source_table)


def identifier(table: str) -> sql.Identifier:
    """Return `schema.table` (or `table`, in public) as a quoted name. Raises InputError when it is neither."""
    from psycopg import sql

    return sql.Identifier(*_parts(table))


def _parts(table: str) -> tuple[str, str]:
    schema, dot, name = table.rpartition(".")
    if not name or (dot and not schema) or "." in schema:
        raise InputError(f"{table!r} names no table: write it as schema.table")
    return schema or "public", name


@contextlib.contextmanager
def translated(table: str) -> Iterator[None]:
    """Turn what PostgreSQL refuses into a SourceError that says what to do about it."""
    import psycopg
    from psycopg import errors

    try:
        yield
    except errors.InsufficientPrivilege as error:
        raise SourceError(
            f"this user may not write to {table} ({error.diag.message_primary}): grant it, or ask"
        ) from error
    except errors.DiskFull as error:
        raise SourceError(f"the database server's disk is full: nothing was loaded into {table}; make room") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise SourceError(
            f"PostgreSQL went away while loading {table}: nothing was loaded. Load the file again when it is back"
        ) from error
    except psycopg.Error as error:
        raise SourceError(f"{table} does not take these memories: {error.diag.message_primary or error}") from error


class _Reader:
    """The memories of some files: rows as they are, or cut into sentences, with ids and times where they lack them."""

    def __init__(self, paths: list[Path], options: LoadOptions, on_bytes: Callable[[int], None] | None) -> None:
        self.files = [MemoryFile(path, options.columns, on_bytes) for path in paths]
        self.split = options.split
        self.entries = 0
        self.is_split = False
        self._on_day: Counter[str] = Counter()
        self._has_days = False

    def fields(self) -> set[str]:
        """Return what the files have to say, ids and sessions made here included."""
        made = {"memory_id", "session_id"} if self._has_days else {"memory_id"}
        return made.union(*(file.fields for file in self.files))

    def ignored(self) -> list[str]:
        return sorted(set(chain.from_iterable(file.ignored for file in self.files)))

    def memories(self) -> Iterator[Row]:
        for file in self.files:
            rows = file.rows()
            head = list(islice(rows, ENTRIES_LOOKED_AT))
            if not head:
                raise InputError(f"{file.path} has no rows: there is nothing to load")
            self.is_split = self.split == "sentences" or (self.split == "auto" and _is_diary(head))
            for row in chain(head, rows):
                self.entries += 1
                yield from self._memories_of(row)

    def _memories_of(self, row: Row) -> Iterable[Row]:
        pieces: Sequence[str | None] = [row.content]
        if self.is_split:
            pieces = sentences(row.content or "")
        day = row.occurred_at.date().isoformat()
        self._has_days |= row.is_dated
        for number, piece in enumerate(pieces, start=1):
            self._on_day[day] += 1
            on_day = self._on_day[day]
            if row.memory_id is None:
                memory_id = f"{day}-{on_day:03d}"
            else:
                memory_id = f"{row.memory_id}-{number}" if self.is_split else row.memory_id
            if row.is_dated:
                occurred_at = row.occurred_at + timedelta(hours=DATED_HOUR, seconds=STEP_S * on_day)
            else:
                occurred_at = row.occurred_at + timedelta(seconds=STEP_S * (number - 1))
            session_id = row.session_id or (day if row.is_dated else None)
            yield replace(row, memory_id=memory_id, content=piece, occurred_at=occurred_at, session_id=session_id)


def _is_diary(rows: list[Row]) -> bool:
    lengths = [len(row.content or "") for row in rows]
    return all(row.is_dated and row.memory_id is None for row in rows) and sum(lengths) / len(lengths) > LONG_ENTRY


def _access_json(row: Row) -> str | None:
    import json

    if not row.accesses:
        return None
    return json.dumps(
        [{"at": access.accessed_at.isoformat(), "kind": access.kind, "grade": access.grade} for access in row.accesses]
    )


def _drop_twins(source: psycopg.Connection[Any], path: Path) -> int:
    different = source.execute(DIFFERENT_TWINS.format(columns=", ".join(COLUMNS))).fetchone()
    if different is not None:
        memory_id, first, last = different
        raise InputError(
            f"{path}: the id {memory_id!r} stands on line {first} and on line {last} with different content;"
            " give every memory an id of its own. Nothing was loaded"
        )
    return source.execute(DROP_TWINS).rowcount


def _refuse_missing_columns(source: psycopg.Connection[Any], table: str, wanted: list[str]) -> None:
    found = {
        row[0]
        for row in source.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped",
            [identifier(table).as_string(source)],
        )
    }
    missing = [column for column in wanted if column not in found]
    if missing:
        raise SourceError(
            f"{table} exists and has no column {', '.join(missing)}: it was not made by biomem. Load into a table of"
            " another name with --table"
        )


def _load_accesses(source: psycopg.Connection[Any], target: psycopg.Connection[Any]) -> int:
    """Append the file's accesses to the access log, but for those that an earlier load of it brought there."""
    from biomem.warehouse.target_schema import migrate

    with contextlib.nullcontext() if source is target else target.transaction():
        migrate(target)
        target.execute(
            "create temp table incoming_access (memory_id text, agent_id text, accessed_at timestamptz, kind text,"
            " grade smallint) on commit drop"
        )
        if source is target:
            source.execute(f"insert into incoming_access {ACCESSES}")
        else:
            with (
                source.cursor().copy(f"copy ({ACCESSES}) to stdout") as reading,
                target.cursor().copy(f"copy incoming_access ({ACCESS_COLUMNS}) from stdin") as writing,
            ):
                for block in reading:
                    writing.write(block)
        return target.execute(INSERT_ACCESSES).rowcount


def _value(connection: psycopg.Connection[Any], query: str, values: list[Any] | None = None) -> Any:
    row = connection.execute(query, values).fetchone()
    if row is None:
        raise BiomemError(f"PostgreSQL answered nothing to: {query}")
    return row[0]
