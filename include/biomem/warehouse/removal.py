"""Taking memories out of the warehouse, as though they had never been pulled.

State is a function of the log. So the rows of the log go, everything that was computed for their agents goes with
them, and these agents' clocks are set back: the next run of each stage computes the agents anew from what is left,
whether or not the deletion itself lives to see it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from biomem.warehouse.connection import quote_identifier, transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import duckdb

# columns that name a memory, whatever the table; a test looks for any other trace of a memory that was removed
MEMORY_COLUMNS = (
    "memory_id",
    "source_memory_id",
    "root_id",
    "repeat_of",
    "superseded_by",
    "memory_a",
    "memory_b",
    "other_memory_id",
    "associated_memory_id",
    "medoid_memory_id",
)
LEDGER, RECEIPTS = "memory_ledger", "receipts"
RUN_PREFIX = "forget__"


@dataclass(frozen=True)
class Found:
    """A memory that the warehouse holds: whose it is, where it came from, its text, and who repeats it."""

    memory_id: str
    agent_id: str
    source_name: str
    content: str | None
    repeats: tuple[str, ...]


@dataclass(frozen=True)
class Receipt:
    """That a memory was removed; without its content. `is_complete`: every layer was reached."""

    memory_id: str
    agent_id: str
    source_name: str
    forgotten_at: datetime
    requested_by: str
    reason: str | None
    rows_removed: dict[str, int]
    is_blocked: bool
    is_complete: bool


def find(con: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> list[Found]:
    """Those of the memories that the warehouse holds, in the order of their ids."""
    rows = con.execute(
        "select memory_id, agent_id, source_name, content from raw.memories where memory_id in (select unnest(?)) "
        "order by memory_id",
        [list(ids)],
    ).fetchall()
    repeats = _repeats(con, ids) if rows else {}
    return [
        Found(memory_id, agent_id, source_name, content, repeats.get(memory_id, ()))
        for memory_id, agent_id, source_name, content in rows
    ]


def receipts(con: duckdb.DuckDBPyConnection, ids: Sequence[str] | None = None) -> list[Receipt]:
    """The receipts of the memories, of all when `ids` is None."""
    names = [column.name for column in fields(Receipt)]
    rows: list[tuple[Any, ...]] = con.execute(
        f"select {', '.join(names)} from raw.{RECEIPTS} "
        "where $1::varchar[] is null or memory_id in (select unnest($1::varchar[])) order by forgotten_at, memory_id",
        [None if ids is None else list(ids)],
    ).fetchall()
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [Receipt(**{**values, "rows_removed": json.loads(values["rows_removed"])}) for values in found]


def count(con: duckdb.DuckDBPyConnection, ids: Iterable[str]) -> dict[str, dict[str, int]]:
    """Per memory and table, the rows of the warehouse that hold or name it."""
    found: dict[str, dict[str, int]] = {memory_id: {} for memory_id in ids}
    for schema, table, columns in _tables_naming_memories(con):
        for column in columns:
            rows = con.execute(
                f"select {quote_identifier(column)}, count(*) from {schema}.{quote_identifier(table)} "
                f"where {quote_identifier(column)} in (select unnest(?)) group by 1",
                [list(found)],
            ).fetchall()
            for memory_id, number in rows:
                tables = found[memory_id]
                tables[f"{schema}.{table}"] = tables.get(f"{schema}.{table}", 0) + number
    return found


def take_out(con: duckdb.DuckDBPyConnection, given: Sequence[Receipt]) -> None:
    """Remove the memories of the receipts and what was computed for their agents, and keep the receipts; all at once.

    A memory that is not there leaves a receipt all the same, so that it is not pulled.
    """
    ids = [receipt.memory_id for receipt in given]
    with transaction(con):
        agents = sorted(_agents_concerned(con, ids))
        for receipt in given:
            values = {**asdict(receipt), "rows_removed": json.dumps(receipt.rows_removed)}
            con.execute(
                f"insert into raw.{RECEIPTS} ({', '.join(values)}) values ({', '.join('?' for _ in values)})",
                [*values.values()],
            )
        for schema, table, columns in _tables_naming_memories(con):
            if schema == "raw" or table == LEDGER:
                con.execute(f"delete from {schema}.{quote_identifier(table)} where {_named(columns)}", [ids])
        for table in _tables_of_agents(con):
            con.execute(f"delete from main.{quote_identifier(table)} where agent_id in (select unnest(?))", [agents])
        # as of a run that began from nothing and never ended: the next one takes every memory of the agent for new
        con.execute(
            "update raw.agent_clock set previous_as_of = null, batch_from = 0, replay_sequence_from = 0, "
            "completed_sequence = begun_sequence - 1, is_in_run = false where agent_id in (select unnest(?))",
            [agents],
        )


def carry_over(con: duckdb.DuckDBPyConnection, given: Sequence[Receipt]) -> None:
    """Remove from a warehouse of former days (a backup) what was removed since it was made."""
    known = {(receipt.memory_id, receipt.forgotten_at) for receipt in receipts(con)}
    missing = [receipt for receipt in given if (receipt.memory_id, receipt.forgotten_at) not in known]
    there = {found.memory_id for found in find(con, [receipt.memory_id for receipt in missing])}
    # what was there leaves its bytes in the file, so that the next deletion has something to finish
    take_out(con, [replace(receipt, is_complete=receipt.memory_id not in there) for receipt in missing])
    # keys of published rows quote concepts, and say nothing any more about a target that has gone on since
    with transaction(con):
        con.execute("delete from published.rows")
        con.execute("delete from published.mark")


def readmit(con: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> list[str]:
    """Let the next full comparison pull the memories again; returns those that were kept away until now."""
    rows = con.execute(
        f"update raw.{RECEIPTS} set is_blocked = false where is_blocked and memory_id in (select unnest(?)) "
        "returning memory_id",
        [list(ids)],
    ).fetchall()
    return sorted({memory_id for (memory_id,) in rows})


def unfinished_agents(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Agents of deletions that were cut short."""
    rows = con.execute(f"select distinct agent_id from raw.{RECEIPTS} where not is_complete").fetchall()
    return {agent_id for (agent_id,) in rows}


def stage_in_progress(con: duckdb.DuckDBPyConnection) -> str | None:
    """A stage whose run was begun and not completed: it is being computed at this moment, or it has died.

    A run of a deletion holds the warehouse from its beginning to its end: where one can look, it is over.
    """
    row = con.execute(
        """
        select context.stage
        from raw.run_context as context
        join raw.agent_clock as clock on clock.stage = context.stage and clock.begun_sequence = context.sequence
        where clock.is_in_run and clock.completed_sequence <> clock.begun_sequence
            and not starts_with(context.run_id, ?)
        order by context.sequence desc limit 1
        """,
        [RUN_PREFIX],
    ).fetchone()
    return row[0] if row else None


def _agents_concerned(con: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> set[str]:
    """Whose state holds the memories: their agents, and those that they belonged to before an edit."""
    of_agents = _tables_of_agents(con)
    agents = {
        row[0]
        for row in con.execute(
            "select distinct agent_id from raw.memories where memory_id in (select unnest(?))", [list(ids)]
        ).fetchall()
    }
    for schema, table, columns in _tables_naming_memories(con):
        if schema == "main" and table in of_agents:
            rows = con.execute(
                f"select distinct agent_id from main.{quote_identifier(table)} where {_named(columns)}", [list(ids)]
            ).fetchall()
            agents |= {agent_id for (agent_id,) in rows}
    return agents


def _named(columns: Iterable[str]) -> str:
    """The condition that a row names one of the memories in the statement's only parameter."""
    return " or ".join(f"{quote_identifier(column)} in (select unnest($1))" for column in columns)


def _repeats(con: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Which other memories say the same as these, by what `memory_repeats` found."""
    if not _columns(con, "main").get("memory_repeats"):
        return {}
    rows: list[tuple[str, list[str]]] = con.execute(
        """
        select mine.memory_id, list(others.memory_id order by others.memory_id)
        from main.memory_repeats as mine
        join main.memory_repeats as others on others.root_id = mine.root_id and others.is_live
        where mine.memory_id in (select unnest($1)) and others.memory_id not in (select unnest($1))
        group by mine.memory_id
        """,
        [list(ids)],
    ).fetchall()
    return {memory_id: tuple(others) for memory_id, others in rows}


def _tables_of_agents(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Tables of the models whose rows belong to an agent; the ledger, which is a history, is not among them."""
    return [name for name, columns in _columns(con, "main").items() if "agent_id" in columns and name != LEDGER]


def _tables_naming_memories(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, list[str]]]:
    return [
        (schema, table, naming)
        for schema in ("raw", "main")
        for table, columns in _columns(con, schema).items()
        if table != RECEIPTS and (naming := [column for column in MEMORY_COLUMNS if column in columns])
    ]


def _columns(con: duckdb.DuckDBPyConnection, schema: str) -> dict[str, set[str]]:
    """The columns of every base table of a schema."""
    rows: list[tuple[Any, ...]] = con.execute(
        "select columns.table_name, columns.column_name from duckdb_columns() as columns "
        "join duckdb_tables() as tables using (database_name, schema_name, table_name) "
        "where database_name = current_database() and schema_name = ? order by 1, 2",
        [schema],
    ).fetchall()
    found: dict[str, set[str]] = {}
    for table, column in rows:
        found.setdefault(table, set()).add(column)
    return found
