"""Texts of memories in the logs and reports of the pipeline: blotted out in place."""

from __future__ import annotations

import json
import mmap
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from biomem.settings import Settings

# a shorter text may stand anywhere by chance
SHORTEST_TEXT = 12
# reports show the beginning of a long text
PREFIX = 24
BLOT = b"*"
PLAIN_SUFFIXES = frozenset(
    {".csv", ".err", ".html", ".json", ".jsonl", ".log", ".md", ".out", ".sql", ".tsv", ".txt", ".yml"}
)
WAREHOUSE_NAME = re.compile(r"\.duckdb($|\.)|\.biomem\.tar$")


def blot_out(
    settings: Settings, texts: Iterable[str | None], *, is_dry_run: bool = False
) -> tuple[list[str], list[str]]:
    """Blot the texts out of the files of this home; which were cleaned, and which hold a text and were left.

    The bytes are overwritten one for one, so that a process that is writing to the same file is not disturbed. Only
    files of plain text are written to. Those of the PostgreSQL server and copies of the warehouse are no affair of
    this: see `target` and `copies`.
    """
    needles = sorted({needle for text in texts if text for needle in _needles(text)}, key=len, reverse=True)
    cleaned: list[str] = []
    left: list[str] = []
    for path in _files(settings) if needles else ():
        is_plain = path.suffix in PLAIN_SUFFIXES
        if _holds(path, needles, should_blot=is_plain and not is_dry_run):
            (cleaned if is_plain else left).append(str(path))
    return cleaned, left


def _files(settings: Settings) -> Iterator[Path]:
    for root in (settings.home, settings.dbt_dir / "logs", settings.dbt_dir / "target"):
        for path in sorted(root.rglob("*")) if root.exists() else ():
            is_other = settings.postgres_dir in path.parents or WAREHOUSE_NAME.search(path.name)
            if not is_other and path.is_file() and not path.is_symlink():
                yield path


def _needles(text: str) -> set[bytes]:
    """The text as it may stand in a file: as it is, and as JSON writes it."""
    if len(text) < SHORTEST_TEXT:
        return set()
    forms = (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    return {form.encode(errors="surrogatepass") for form in forms}


def _holds(path: Path, needles: Sequence[bytes], *, should_blot: bool) -> bool:
    """Whether the file holds a text or the beginning of one; overwrites as much of it as stands there."""
    if path.stat().st_size == 0:
        return False
    is_found = False
    with path.open("r+b" if should_blot else "rb") as file:
        access = mmap.ACCESS_WRITE if should_blot else mmap.ACCESS_READ
        with mmap.mmap(file.fileno(), 0, access=access) as content:
            for needle in needles:
                beginning = needle[:PREFIX]
                start = content.find(beginning)
                while start >= 0:
                    is_found = True
                    length = _common(content, start, needle)
                    if should_blot:
                        content[start : start + length] = BLOT * length
                    start = content.find(beginning, start + length)
    return is_found


def _common(content: mmap.mmap, start: int, needle: bytes) -> int:
    """How many bytes from `start` on are those of the needle."""
    there = content[start : start + len(needle)]
    return next((n for n, (a, b) in enumerate(zip(there, needle, strict=False)) if a != b), len(there))
