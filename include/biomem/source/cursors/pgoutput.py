"""The messages of PostgreSQL's output plugin `pgoutput`, protocol version 1, as far as a cursor needs them.

Source: PostgreSQL documentation, "Logical Replication Message Formats".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Relation:
    """What the changes that follow are changes of: the columns of table `oid` in their order."""

    oid: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class RowChange:
    """A row that was written or deleted, by the values of its key column before and after, where they are told.

    An unchanged value that is stored out of line (TOAST) is not told.
    """

    keys: frozenset[str]
    is_told: bool  # whether every key of the row, old and new, is in `keys`


@dataclass(frozen=True)
class Truncation:
    """The table was emptied."""


@dataclass(frozen=True)
class Commit:
    """The end of a transaction; `end` is the position (LSN) right after it."""

    end: int


Message = Relation | RowChange | Truncation | Commit

UNCHANGED = object()  # an unchanged out-of-line value, which is not sent


def decode(data: bytes, key: str, relations: Mapping[int, Relation]) -> Message | None:
    """The message in `data`, or None for one that says nothing of rows.

    `key` names the column that identifies a row; `relations` holds the relations that came before, by oid.
    """
    kind = data[:1]
    if kind == b"R":
        return _relation(data)
    if kind in (b"I", b"U", b"D"):
        (oid,) = struct.unpack_from(">I", data, 1)
        return _row_change(data, key, relations[oid])
    if kind == b"T":
        return Truncation()
    if kind == b"C":
        # flags (1 byte), position of the commit (8), position after it (8)
        (end,) = struct.unpack_from(">Q", data, 10)
        return Commit(end)
    return None


def _relation(data: bytes) -> Relation:
    (oid,) = struct.unpack_from(">I", data, 1)
    _, at = _text(data, 5)
    _, at = _text(data, at)
    # one byte of replica identity, then the columns
    (count,) = struct.unpack_from(">H", data, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        # flags (1 byte), name, type (4), type modifier (4)
        name, at = _text(data, at + 1)
        columns.append(name)
        at += 8
    return Relation(oid, tuple(columns))


def _row_change(data: bytes, key: str, relation: Relation) -> RowChange:
    if key not in relation.columns:
        return RowChange(frozenset(), is_told=False)
    index = relation.columns.index(key)
    # K: the key of the old row, O: all of it, N: the new row
    at, keys = 5, []
    while at < len(data):
        at += 1
        values, at = _tuple(data, at)
        keys.append(values[index])
    told = frozenset(value for value in keys if isinstance(value, str))
    # an unchanged key equals the other one, if that was told; a null one is a row that no pull takes
    return RowChange(told, is_told=bool(told) or UNCHANGED not in keys)


def _tuple(data: bytes, at: int) -> tuple[list[object], int]:
    (count,) = struct.unpack_from(">H", data, at)
    at += 2
    values: list[object] = []
    for _ in range(count):
        kind = data[at : at + 1]
        at += 1
        if kind == b"t":
            (size,) = struct.unpack_from(">I", data, at)
            at += 4
            values.append(data[at : at + size].decode())
            at += size
        else:
            values.append(None if kind == b"n" else UNCHANGED)
    return values, at


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1
