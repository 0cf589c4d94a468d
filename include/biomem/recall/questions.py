"""Many questions at once: JSON lines in, JSON lines out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biomem.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FIELDS = ("question_id", "agent_id", "question")
SHOWN = 80


@dataclass(frozen=True)
class Question:
    """One line of a file of questions."""

    question_id: str
    agent_id: str
    question: str


@dataclass(frozen=True)
class BadLine:
    """A line that holds no question: its number from 1, and why."""

    number: int
    reason: str


def read_questions(lines: Iterable[bytes]) -> Iterator[Question | BadLine]:
    """The questions of a JSON lines file, one a line; empty lines are passed over."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _question(json.loads(line))
        except (ValueError, InputError, RecursionError) as error:
            yield BadLine(number, f"{error}: {line[:SHOWN].decode('utf-8', 'replace').strip()}")


def _question(row: Any) -> Question:
    if not isinstance(row, dict):
        raise InputError("not a JSON object")
    values = {}
    for name in FIELDS:
        value = row.get(name)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise InputError(f"{name} is missing" if value is None else f"{name} is no text")
        values[name] = str(value)
    return Question(**values)
