"""What SQL for a table's owner has in common: names of our own for what it makes, and names of theirs in comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from biomem.source.mapping import SourceTable

TABLE_BYTES = 40  # PostgreSQL cuts names at 63 bytes


def object_name(source: SourceTable, what: str) -> str:
    """The name, unquoted, of something of ours beside the source's table; `what` in 15 characters at most."""
    table = source.table.encode()[:TABLE_BYTES].decode(errors="ignore")
    return f"biomem_{table}_{what}"


def commented(text: str) -> str:
    """`text` as it may stand in a comment of one line."""
    return " ".join(text.split())
