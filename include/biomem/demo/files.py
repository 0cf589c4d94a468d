"""Read memories from a CSV, JSONL or Parquet file, one row at a time; every complaint names the line."""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
import zlib
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import IO, TYPE_CHECKING, Any

from biomem.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# what people call the same thing; the first name found counts
SYNONYMS: dict[str, tuple[str, ...]] = {
    "memory_id": ("memory_id", "id", "uuid", "key", "message_id", "msg_id", "note_id", "entry_id"),
    "content": ("content", "text", "memory", "message", "body", "entry", "note", "sentence", "utterance"),
    "occurred_at": (
        *("occurred_at", "timestamp", "datetime", "created_at", "date_time", "date", "entry_date", "time"),
        *("ts", "when", "day"),
    ),
    "agent_id": ("agent_id", "agent", "assistant", "bot", "owner", "user_id"),
    "session_id": ("session_id", "session", "conversation_id", "conversation", "thread_id", "thread", "dialogue_id"),
    "speaker": ("speaker", "role", "author", "sender", "from", "name"),
    "updated_at": ("updated_at", "modified_at", "edited_at"),
    "importance": ("importance",),
    "arousal": ("arousal",),
    "tags": ("tags", "labels"),
    "metadata": ("metadata", "meta"),
    "accesses": ("accesses",),
}
# the fields whose column can be named on the command line, with the option that does it
OPTIONS = {
    "memory_id": "--id",
    "content": "--content",
    "occurred_at": "--occurred-at",
    "agent_id": "--agent",
    "session_id": "--session",
    "speaker": "--speaker",
}
REQUIRED = ("content", "occurred_at")
KINDS = ("retrieve", "restudy")
PARQUET_ROWS_AT_ONCE = 2_000
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Access:
    """One use of a memory: when, how (`retrieve` or `restudy`) and how well it went (1 again .. 4 easy)."""

    accessed_at: datetime
    kind: str
    grade: int


@dataclass
class Row:
    """One memory as the file has it. `is_dated` says that the file gives a day and no time of day."""

    line: int
    content: str | None
    occurred_at: datetime
    is_dated: bool
    memory_id: str | None = None
    agent_id: str = "default"
    session_id: str | None = None
    speaker: str | None = None
    updated_at: datetime | None = None
    importance: float | None = None
    arousal: float | None = None
    tags: list[str] | None = None
    metadata: str | None = None
    accesses: list[Access] = field(default_factory=list)


class MemoryFile:
    """A file of memories. After reading, `fields` holds what it had and `ignored` the columns that nobody knew."""

    def __init__(
        self, path: Path, columns: dict[str, str] | None = None, on_bytes: Callable[[int], None] | None = None
    ) -> None:
        self.path = path
        self.columns = columns or {}
        self.on_bytes = on_bytes
        self.fields: set[str] = set()
        self.ignored: list[str] = []

    def rows(self) -> Iterator[Row]:
        """Yield the rows in file order. Raises InputError at the first one that cannot be taken as it is."""
        name = self.path.name.lower().removesuffix(".gz")
        if name.endswith(".csv") or name.endswith(".tsv"):
            records = self._csv_records()
        elif name.endswith((".jsonl", ".ndjson")):
            records = self._json_records()
        elif name.endswith(".parquet"):
            records = self._parquet_records()
        else:
            raise InputError(
                f"{self.path}: biomem loads .csv, .tsv and .jsonl files, each also with .gz behind it, and .parquet"
            )
        columns_of: dict[tuple[str, ...], dict[str, str]] = {}
        for line, record in records:
            names = tuple(record)
            if names not in columns_of:
                columns_of[names] = self._match(names, line)
            columns = columns_of[names]
            try:
                yield _row(line, {field: record[name] for field, name in columns.items()})
            except ValueError as error:
                raise InputError(f"{self.path} line {line}: {error}") from None

    def _match(self, names: tuple[str, ...], line: int) -> dict[str, str]:
        """Return which column holds which field."""
        for wanted, name in self.columns.items():
            if name not in names and (wanted in REQUIRED or not self._is_json()):
                raise InputError(
                    f"{self.path} line {line}: there is no column {name!r} (given by {OPTIONS[wanted]});"
                    f" the columns are {_listed(names)}"
                )
        plain = {re.sub(r"[\s-]+", "_", name.strip().lower()): name for name in reversed(names)}
        found = {field: name for field, name in self.columns.items() if name in names}
        for wanted, synonyms in SYNONYMS.items():
            if wanted not in found:
                match = next((plain[s] for s in synonyms if s in plain and plain[s] not in found.values()), None)
                if match is not None:
                    found[wanted] = match
        for wanted in REQUIRED:
            if wanted not in found:
                raise InputError(
                    f"{self.path} line {line}: no column for {wanted}; the columns are {_listed(names)}:"
                    f" name the right one with {OPTIONS[wanted]} COLUMN"
                )
        self.fields |= set(found)
        self.ignored += [name for name in names if name not in found.values() and name not in self.ignored]
        return found

    def _is_json(self) -> bool:
        return ".csv" not in self.path.name.lower() and ".tsv" not in self.path.name.lower()

    def _csv_records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        csv.field_size_limit(2**30)
        lines = self._lines()
        first = next(lines, "")
        delimiter = max(",;\t|", key=first.count)

        def text() -> Iterator[str]:
            yield first
            yield from lines

        reader = csv.reader(text(), delimiter=delimiter, strict=True)
        start = 1
        try:
            header = next(reader, [])
            if len(set(header)) < len(header):
                twice = sorted({name for name in header if header.count(name) > 1})
                raise InputError(f"{self.path} line 1: the column {_listed(twice)} is there more than once")
            start = reader.line_num + 1
            for values in reader:
                if values:
                    if len(values) != len(header):
                        raise InputError(
                            f"{self.path} line {start}: {len(values)} values where the header has {len(header)} columns"
                        )
                    yield start, dict(zip(header, values, strict=True))
                start = reader.line_num + 1
        except csv.Error as error:
            raise InputError(f"{self.path} line {start}: not valid CSV ({error})") from None

    def _json_records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for line, text in enumerate(self._lines(), start=1):
            if not text.strip():
                continue
            try:
                record = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{self.path} line {line}: not valid JSON ({error})") from None
            if not isinstance(record, dict):
                raise InputError(f"{self.path} line {line}: expected a JSON object, found {type(record).__name__}")
            yield line, record

    def _parquet_records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows with their number, from 1, in place of a line."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        row = 0
        try:
            with self.path.open("rb") as raw:
                for batch in pq.ParquetFile(raw).iter_batches(PARQUET_ROWS_AT_ONCE):
                    if self.on_bytes is not None:
                        self.on_bytes(raw.tell())
                    for record in batch.to_pylist():
                        row += 1
                        yield row, record
        except FileNotFoundError:
            raise InputError(f"there is no file {self.path}") from None
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self.path}: not a whole Parquet file, after row {row} ({error})") from None

    def _lines(self) -> Iterator[str]:
        line = 0
        try:
            with self.path.open("rb") as raw, self._unpacked(raw) as stream:
                for line, data in enumerate(stream, start=1):
                    if self.on_bytes is not None and line % 1000 == 0:
                        self.on_bytes(raw.tell())
                    yield data.decode("utf-8-sig" if line == 1 else "utf-8")
                if self.on_bytes is not None:
                    self.on_bytes(raw.tell())
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path} line {line}: not UTF-8 (byte 0x{error.object[error.start]:02x}):"
                " save the file as UTF-8 and load it again"
            ) from None
        except FileNotFoundError:
            raise InputError(f"there is no file {self.path}") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{self.path}: the gzip data is cut off or damaged after line {line} ({error})") from None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def _unpacked(self, raw: IO[bytes]) -> IO[bytes]:
        magic = raw.read(2)
        raw.seek(0)
        return gzip.open(raw, "rb") if magic == GZIP_MAGIC else raw  # type: ignore[return-value]


def parse_time(value: Any, name: str) -> tuple[datetime, bool]:
    """Return the moment and whether `value` is a day without a time. No zone means UTC; numbers are Unix seconds.

    Raises ValueError when it is neither.
    """
    if isinstance(value, bool) or value is None or value == "":
        raise ValueError(f"{name} is empty")
    text = str(value).strip()
    try:
        if isinstance(value, (int, float)) or re.fullmatch(r"-?\d{9,}(\.\d+)?", text):
            seconds = float(text)
            # milliseconds are told by their size: as seconds they would lie beyond the year 5000
            return _EPOCH + timedelta(seconds=seconds / 1000 if abs(seconds) > 1e11 else seconds), False
        text = re.sub(r"^(\d{4})/(\d{1,2})/(\d{1,2})", _iso_date, text)
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=timezone.utc), True
        moment = datetime.fromisoformat(_iso_time(text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(timezone.utc), False
    except (ValueError, OverflowError):
        raise ValueError(
            f"{name} {value!r} is not a date that exists, or not written like 2026-03-02 or 2026-03-02T10:15:00Z"
        ) from None


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _iso_date(match: re.Match[str]) -> str:
    year, month, day = match.groups()
    return f"{year}-{month:0>2}-{day:0>2}"


def _iso_time(text: str) -> str:
    """Bring the many ways of writing ISO 8601 to the one that Python 3.10 reads."""
    match = re.fullmatch(
        r"(\d{4}-\d{2}-\d{2})[T ]+(\d{2}:\d{2})(:\d{2})?(?:[.,](\d+))?\s*(?:([Zz]|UTC)|([+-]\d{2}):?(\d{2})?)?", text
    )
    if match is None:
        raise ValueError(text)
    day, minutes, seconds, fraction, utc, hours, rest = match.groups()
    zone = "+00:00" if utc else f"{hours}:{rest or '00'}" if hours else ""
    return f"{day}T{minutes}{seconds or ':00'}.{(fraction or '0')[:6]:0<6}{zone}"


def _row(line: int, values: dict[str, Any]) -> Row:
    occurred_at, is_dated = parse_time(values["occurred_at"], "occurred_at")
    content = values["content"]
    if content is not None and not isinstance(content, str):
        raise ValueError(f"content must be text, found {type(content).__name__}")
    memory_id = None
    if "memory_id" in values:
        memory_id = _text(values["memory_id"], "memory_id")
        if memory_id is None:
            raise ValueError("memory_id is empty")
    updated_at = values.get("updated_at")
    return Row(
        line=line,
        memory_id=memory_id,
        content=_text(content, "content") if content and content.strip() else None,
        occurred_at=occurred_at,
        is_dated=is_dated,
        agent_id=_text(values.get("agent_id"), "agent_id") or "default",
        session_id=_text(values.get("session_id"), "session"),
        speaker=_text(values.get("speaker"), "speaker"),
        updated_at=parse_time(updated_at, "updated_at")[0] if updated_at not in (None, "") else None,
        importance=_share(values.get("importance"), "importance"),
        arousal=_share(values.get("arousal"), "arousal"),
        tags=_tags(values.get("tags")),
        metadata=_metadata(values.get("metadata")),
        accesses=_accesses(values.get("accesses")),
    )


def _text(value: Any, name: str) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, (dict, list, bool)):
        raise ValueError(f"{name} must be text, found {json.dumps(value)[:40]}")
    text = str(value)
    if "\x00" in text:
        raise ValueError(f"{name} holds a NUL character, which PostgreSQL cannot store: take it out")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half of a UTF-16 surrogate pair, which is no character") from None
    return text


def _share(value: Any, name: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, found {value!r}")
    return number


def _tags(value: Any) -> list[str] | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else re.split(r"\s*[,;|]\s*", value.strip())
    if not isinstance(value, list):
        raise ValueError(f"tags must be a list, found {type(value).__name__}")
    return [tag for tag in (_text(item, "tags") for item in value) if tag]


def _metadata(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("metadata is not valid JSON") from None
    if not isinstance(value, dict):
        raise ValueError("metadata must be a JSON object")
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if "\\u0000" in text:
        raise ValueError("metadata holds a NUL character, which PostgreSQL cannot store: take it out")
    return _text(text, "metadata")


def _accesses(value: Any) -> list[Access]:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, list):
        raise ValueError("accesses must be a list")
    accesses = []
    for item in value:
        access = item if isinstance(item, dict) else {"at": item}
        kind, grade = access.get("kind", "retrieve"), access.get("grade", 3)
        if kind not in KINDS or grade not in (1, 2, 3, 4):
            raise ValueError(f"an access has a kind of {' or '.join(KINDS)} and a grade from 1 to 4, found {item!r}")
        accesses.append(Access(parse_time(access.get("at"), "the access time 'at'")[0], kind, int(grade)))
    return accesses


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "none"
