"""Editing `source.yml` as its owner left it: an entry is added or replaced, every other line and comment stays."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import yaml

from biomem.errors import ConfigurationError
from biomem.source.mapping import parse_sources

if TYPE_CHECKING:
    from pathlib import Path

HEADER = """\
# Which tables to pull and what their columns mean; docs/sources.md explains every line.
# After a change: `biomem source doctor`, then `biomem source pull`.
sources:
"""
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def write_entry(path: Path, name: str, entry: str, *, may_replace: bool) -> None:
    """Add the entry of source `name` (indented by two spaces) to the file, or make the file.

    An entry of that name is replaced only when `may_replace`; its own comments go with it. Raises ConfigurationError,
    with the file as it was, when it is there already, when the file is no mapping, or when the result would not be.
    """
    if not path.exists():
        text = HEADER + entry
    else:
        before = path.read_text(encoding="utf-8")
        parse_sources(before, str(path))
        text = _edited(before, path, name, entry, may_replace)
    sources = parse_sources(text, f"{path} with source {name!r}")
    if name not in [source.name for source in sources]:
        raise ConfigurationError(
            f"{path} cannot be added to as it is written; use --print and put the entry in by hand"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # beside its place and then renamed: whoever reads it meanwhile reads a whole one
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)


def scalar(text: str, *, quoted: bool = False) -> str:
    """`text` as a YAML scalar on one line, in quotes unless it is a plain word."""
    if not quoted and PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf")).strip()


def table_name(schema: str, table: str) -> str:
    """Schema and table as `split_table` reads them, as a YAML scalar."""
    parts = [part if SIMPLE_NAME.fullmatch(part) else '"' + part.replace('"', '""') + '"' for part in (schema, table)]
    return scalar(".".join(parts))


def one_line(text: str) -> str:
    """`text` as it may stand in a comment: what would end the line or move the cursor is replaced."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _edited(before: str, path: Path, name: str, entry: str, may_replace: bool) -> str:
    root = yaml.compose(before)
    assert isinstance(root, yaml.MappingNode)
    sources = root.value[0][1]
    if sources.flow_style:
        raise ConfigurationError(f"{path} holds its sources in braces; use --print and put the entry in by hand")
    indent = sources.start_mark.column
    block = re.sub(r"(?m)^ {2}", " " * indent, entry)
    lines = before.splitlines(keepends=True)
    for key, value in sources.value:
        if key.value == name:
            if not may_replace:
                raise ConfigurationError(f"{path} has a source {name!r} already; replace it with --force")
            first, last = key.start_mark.line, _last_line(value)
            return "".join([*lines[:first], block, *lines[last + 1 :]])
    end = "" if before.endswith("\n") else "\n"
    return f"{before}{end}{block}"


def _last_line(node: yaml.Node) -> int:
    """The last line that holds something of `node`: where the comments that follow it begin."""
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    mark = node.end_mark
    # a block scalar ends where the next line begins
    return int(mark.line - 1 if mark.column == 0 and mark.line > node.start_mark.line else mark.line)
