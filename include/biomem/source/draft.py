"""`biomem source map`: a look at a table, and from it the entry of `source.yml` that reads it, with its reasons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg

from biomem.errors import SourceError
from biomem.source.columns import find_columns, plan_accesses, plan_columns
from biomem.source.dsn import connect, place, without_secrets
from biomem.source.expressions import names_in
from biomem.source.mapping import (
    MEMORIES,
    REQUIRED,
    SYNONYMS,
    Column,
    SourceTable,
)
from biomem.source.mapping_file import one_line, scalar, table_name
from biomem.source.presets import Choice, choose_columns, recognise
from biomem.source.relation import Relation, look_up
from biomem.source.table import TableShape, inspect_table
from biomem.warehouse.connection import qualified_name, quote_identifier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SAMPLE_ROWS = 1_000
# a time this large, in seconds, would lie beyond the year 5138
SMALLEST_MILLISECONDS = 100_000_000_000
SMALLEST_MICROSECONDS = 100_000_000_000_000
LARGEST_MICROSECONDS = 253_402_214_400_000_000  # the year 9999
COMMENT_COLUMN = 26


@dataclass(frozen=True)
class Draft:
    """A source as it would be pulled, and what was seen of its table.

    `reasons` are remarks by our names. `missing` are required columns that none was found for: such a draft cannot be
    pulled. `sampled` counts the rows that were tried, `unusable` those of them that cannot be taken, by reason;
    `trouble` is PostgreSQL's, when a value of the sample cannot be read as it is mapped.
    """

    source: SourceTable
    preset: str
    shape: TableShape
    reasons: Mapping[str, str]
    missing: tuple[str, ...]
    relation: Relation
    sampled: int
    unusable: Mapping[str, int]
    trouble: str | None

    def entry(self, indent: int = 2) -> str:
        """The entry as YAML, below `sources:` with `indent` spaces."""
        lines = [f"{scalar(self.source.name)}:", *("  " + line for line in self._body())]
        return "".join(f"{' ' * indent}{line}".rstrip() + "\n" for line in lines)

    def _body(self) -> Iterator[str]:
        keys = ", ".join(sorted(self.shape.unique_columns)) or "none"
        yield f"# {self.preset}; about {self.relation.rows:,} rows, {self.relation.size}; unique: {one_line(keys)}"
        if self.source.kind != MEMORIES:
            yield f"kind: {self.source.kind}"
        yield f"table: {table_name(self.source.schema, self.source.table)}"
        yield "columns:"
        for ours in SYNONYMS[self.source.kind]:
            yield from (f"  {line}" for line in self._column(ours))
        absent = [ours for ours in SYNONYMS[self.source.kind] if ours not in {*self.source.columns, *self.missing}]
        if absent:
            yield f"# no such column: {', '.join(absent)}"
        unread = ", ".join(f"{name} ({kind})" for name, kind in self.shape.columns.items() if not self._is_read(name))
        if unread:
            yield f"# not read: {one_line(unread)}"
        yield _commented(f"agent_id: {scalar(self.source.agent_id)}", "whose they are where no row says so")
        yield _commented(
            f"reconcile_every: {self.source.reconcile_every}",
            "polls between two looks for deleted rows",
        )
        yield _commented(f"cursor: {self.source.cursor}", "`biomem source doctor` tells which suits")

    def _column(self, ours: str) -> Iterator[str]:
        shown = "id" if ours == REQUIRED[self.source.kind][0] else ours
        column, reason = self.source.columns.get(ours), self.reasons.get(ours, "")
        if ours in self.missing:
            yield _commented(f"{shown}:", "REQUIRED: no column looks like it; name one, or give an expression")
        elif column is not None and column.is_left_out:
            yield _commented(f"{shown}: null", reason)
        elif column is not None and column.name is not None:
            kind = self.shape.columns[column.name]
            yield _commented(f"{shown}: {scalar(column.name)}", "; ".join(filter(None, [kind, reason])))
        elif column is not None:
            yield _commented(f"{shown}:", reason)
            yield f"  expression: {scalar(str(column.expression), quoted=True)}"

    def _is_read(self, name: str) -> bool:
        columns = self.source.columns.values()
        return any(column.name == name or name in names_in(column.expression or "") for column in columns)


def draft_source(
    dsn: str, schema: str, table: str, *, name: str, kind: str = MEMORIES, preset: str | None = None
) -> Draft:
    """Look at a table and draft how to pull it; without `preset` its columns tell whose table it is.

    Reads the catalog and a sample of rows, read-only. Raises SourceError when the table cannot be a
    source, or is not of the preset's system.
    """
    try:
        with connect(dsn, autocommit=True) as con:
            con.execute("set default_transaction_read_only = on")
            return _draft(con, SourceTable(name, schema, table, kind=kind), preset)
    except psycopg.Error as error:
        reason = without_secrets(str(error), dsn)
        raise SourceError(f"{schema}.{table} cannot be looked at in PostgreSQL ({place(dsn)}): {reason}") from None


def _draft(con: psycopg.Connection[tuple[Any, ...]], source: SourceTable, preset: str | None) -> Draft:
    shape = inspect_table(con, source.schema, source.table, {})
    preset = preset or (recognise(shape) if source.kind == MEMORIES else "generic")
    choices = choose_columns(shape, source.kind, preset)
    choices = {ours: _in_seconds(con, shape, ours, choice) for ours, choice in choices.items()}
    columns = {ours: choice.column for ours, choice in choices.items()}
    missing = tuple(ours for ours in REQUIRED[source.kind] if ours not in columns)
    source = replace(source, columns=columns)
    sampled, unusable, trouble = 0, dict[str, int](), None
    if not missing:
        shape = inspect_table(con, source.schema, source.table, source.expressions)
        # also what a pull would find by name beside the preset's
        source = replace(source, columns={**columns, **find_columns(source, shape)})
        try:
            sampled, unusable = _try(con, source, shape)
        except psycopg.DataError as error:
            trouble = " ".join(str(error).split())
    return Draft(
        source=source,
        preset=preset,
        shape=shape,
        reasons={ours: choice.reason for ours, choice in choices.items()},
        missing=missing,
        relation=look_up(con, shape),
        sampled=sampled,
        unusable=unusable,
        trouble=trouble,
    )


def _in_seconds(con: psycopg.Connection[tuple[Any, ...]], shape: TableShape, ours: str, choice: Choice) -> Choice:
    """A number as a time that is too large for seconds since 1970 holds milli- or microseconds."""
    name = choice.column.name
    if name is None or shape.columns[name] not in ("bigint", "numeric", "double precision") or not ours.endswith("_at"):
        return choice
    column = quote_identifier(name)
    largest = con.execute(
        f"select coalesce(max(number), 0)::float8 from {_sample(shape, f'{column} as number')} "
        f"where number between 0 and {LARGEST_MICROSECONDS}".encode()
    ).fetchone()
    assert largest is not None
    for smallest, unit, divisor in (
        (SMALLEST_MICROSECONDS, "microseconds", "1000000.0"),
        (SMALLEST_MILLISECONDS, "milliseconds", "1000.0"),
    ):
        if largest[0] >= smallest:
            return Choice(Column(expression=f"to_timestamp({column} / {divisor})"), f"{unit} since 1970")
    return choice


def _try(
    con: psycopg.Connection[tuple[Any, ...]], source: SourceTable, shape: TableShape
) -> tuple[int, dict[str, int]]:
    """Read a sample as a pull would; how many rows, and how many of them cannot be taken, by reason."""
    plan = plan_columns if source.kind == MEMORIES else plan_accesses
    sample = _sample(shape, plan(source, shape).select_list)
    rows = con.execute(f"select problem, count(*) from {sample} group by 1 order by 1".encode()).fetchall()
    return sum(count for _, count in rows), {problem: count for problem, count in rows if problem is not None}


def _sample(shape: TableShape, select_list: str) -> str:
    return f"(select {select_list} from {qualified_name(shape.schema, shape.table)} limit {SAMPLE_ROWS}) as sample"


def _commented(line: str, comment: str) -> str:
    return f"{line.ljust(COMMENT_COLUMN)}  # {one_line(comment)}" if comment else line
