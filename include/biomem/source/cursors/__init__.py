"""Ways to find out what changed in a table since the last pull: one module a cursor, the same result from each.

| cursor | what it asks of the source | an idle poll costs |
|---|---|---|
| `xmin_window` | nothing | a scan of the table |
| `xid8_column` | a column, a trigger, an index | a look into the index |
| `logical_slot` | wal_level=logical, a publication and a slot | decoding what was written |

docs/decisions/0009 says why there are three, and what each was measured at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from biomem.source.cursors.logical_slot import LogicalSlot
from biomem.source.cursors.xid8_column import Xid8Column
from biomem.source.cursors.xmin_window import XminWindow
from biomem.source.mapping import LOGICAL_SLOT, XID8_COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from biomem.source.reading import Reading
    from biomem.source.watermark import Mark


class Cursor(Protocol):
    """How one pull of one table finds out what changed. Every method raises SourceError with what to do about it.

    `mark` and the SELECTs run in one transaction of the source, in this order.
    """

    def mark(self, con: duckdb.DuckDBPyConnection, before: Mark | None) -> Mark:
        """Where the source stands, and whether the changes since `before` can be told."""
        ...

    def changes(self, before: Mark) -> Iterator[str]:
        """The SELECTs that yield every row that changed since `before`, and maybe some that did not."""
        ...

    def suspects(self) -> Iterator[str]:
        """The SELECTs that yield the ids of what may have been deleted, where the cursor can tell."""
        ...

    def release(self, mark: Mark) -> None:
        """Let the source forget what lies before `mark`: the warehouse has it."""
        ...


def open_cursor(reading: Reading, dsn: str) -> Cursor:
    """The cursor that the mapping chose. Raises SourceError when the source lacks what it needs."""
    if reading.source.cursor == LOGICAL_SLOT:
        return LogicalSlot(reading, dsn)
    if reading.source.cursor == XID8_COLUMN:
        return Xid8Column(reading)
    return XminWindow(reading)
