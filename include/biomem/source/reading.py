"""A table to read: what the mapping says of it, what the catalog does, and the SQL made from both."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from biomem.source.columns import ColumnPlan, plan_columns
from biomem.source.table import TableShape, describe_table
from biomem.warehouse.connection import quote_identifier

if TYPE_CHECKING:
    from biomem.source.mapping import SourceTable


@dataclass(frozen=True)
class Reading:
    """One source, ready to be read."""

    source: SourceTable
    shape: TableShape
    plan: ColumnPlan

    @property
    def table(self) -> str:
        return f"{quote_identifier(self.shape.schema)}.{quote_identifier(self.shape.table)}"

    @property
    def key_column(self) -> str | None:
        """The column that the ids are taken from; None when an expression makes them."""
        name = self.plan.found["memory_id"]
        return name if "memory_id" not in self.source.expressions else None

    @property
    def identity(self) -> str:
        """What must be as it was for a mark to hold: server, timeline, database, table, mapping and cursor."""
        cursor = f"{self.source.cursor} {self.source.cursor_column} {self.source.slot}"
        mapping = sha256(f"{self.plan.select_list} {cursor}".encode()).hexdigest()[:12]
        return f"{self.shape.identity}/{mapping}"

    def rows(self, condition: str = "true") -> str:
        """The SELECT of the rows that hold `condition`, in the columns of `raw.memories`."""
        return f"select {self.plan.select_list} from {self.table} where {condition}"

    def keys(self) -> str:
        """The SELECT of all ids."""
        return f"select {self.plan.key_list} from {self.table}"


def describe_source(source: SourceTable, dsn: str) -> Reading:
    """Look the source up in its database. Raises SourceError when it cannot be pulled as it is."""
    shape = describe_table(dsn, source.schema, source.table, source.expressions)
    return Reading(source, shape, plan_columns(source, shape))
