"""Publishing a stage's results to schema `memory` in PostgreSQL: changed rows only, all at once (or see `ahead`).

The warehouse remembers key and hash of every row it has sent (see `send`). DuckDB and PostgreSQL cannot commit
together, so each table also carries the id of the publication that last changed it, on both sides: PostgreSQL commits
first, and a warehouse that died before its own commit finds another id there, and sends that table whole.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from biomem.errors import PublishError
from biomem.source.dsn import connect, place, without_secrets
from biomem.warehouse.connection import transaction
from biomem.warehouse.context import AWAKE, is_whole_run
from biomem.warehouse.published_tables import PARAMETERS, SOURCES, STAGE_TABLES, PublishedTable
from biomem.warehouse.send import Run, mark_in_warehouse, note_seen, send_table
from biomem.warehouse.target_schema import ADVISORY_LOCK, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb
    import psycopg

    from biomem.parameters import Parameter
    from biomem.warehouse.ahead import Compared
    from biomem.warehouse.send import Difference

    Target = psycopg.Connection[tuple[Any, ...]]


# how long PostgreSQL waits for a comparison of everything: a session's usual minute is short for millions of rows
COMPARING_TIMEOUT = "10min"
IN_PART = ", in part"


@dataclass(frozen=True)
class PublishResult:
    """What a publication changed: per table the rows written (inserted or updated) and deleted.

    `resent` names the tables that were compared whole because the target was not as the warehouse had left it.
    """

    stage: str
    run_id: str
    publish_id: str
    rows_written: dict[str, int]
    rows_deleted: dict[str, int]
    resent: list[str]
    seconds: float

    def describe(self) -> str:
        """One line for a log or a terminal."""
        tables = ", ".join(
            f"{name} {written} written {self.rows_deleted[name]} deleted" for name, written in self.rows_written.items()
        )
        resent = f"; sent whole: {', '.join(self.resent)}" if self.resent else ""
        return f"published {self.stage}: {tables}{resent}; {self.seconds:.2f} s"


def publish_stage(
    con: duckdb.DuckDBPyConnection,
    stage: str,
    *,
    dsn: str,
    run_id: str,
    parameters: Mapping[str, Parameter] | None = None,
    ahead: Mapping[str, Compared] | None = None,
) -> PublishResult:
    """Bring the stage's tables in schema `memory` of `dsn` up to date, in one PostgreSQL transaction.

    `parameters` are those of the run, for memory.parameters; without them that table stays as it is. `ahead` is what
    `compare_ahead` has found of some tables.
    The schema is created or migrated when needed. Harmless when repeated: what is there already is not sent again.
    Raises PublishError, with the target as it was, when the run is not the stage's current one, a model is missing,
    or PostgreSQL refuses; SourceError when it cannot be reached.
    """
    started = time.monotonic()
    run = _current_run(con, stage, run_id)
    tables = STAGE_TABLES[stage]
    if parameters is not None:
        _stage_parameters(con, parameters)
        tables = (*tables, PARAMETERS)
    publish_id = uuid4().hex
    may_be_narrow = stage == AWAKE and not is_whole_run(con, stage)
    with _in_turn(con, dsn, f"publishing {stage}") as pg:
        if not may_be_narrow:
            pg.execute("select set_config('idle_in_transaction_session_timeout', %s, true)", [COMPARING_TIMEOUT])
        resent = [table.name for table in tables if not _is_as_left(con, pg, table)]
        counts = {
            table.name: send_table(
                con,
                pg,
                table,
                run,
                is_whole=table.name in resent,
                may_be_narrow=may_be_narrow,
                difference=_found_ahead(con, table, ahead or {}),
            )
            for table in tables
        }
        changed = [name for name, (written, deleted) in counts.items() if written or deleted or name in resent]
        _leave_marks(con, pg, run, publish_id, changed, counts)
        note_seen(con, tables, stage)
    return PublishResult(
        stage,
        run_id,
        publish_id,
        {name: written for name, (written, _) in counts.items()},
        {name: deleted for name, (_, deleted) in counts.items()},
        resent,
        round(time.monotonic() - started, 3),
    )


def publish_heartbeat(con: duckdb.DuckDBPyConnection, run: Run, *, dsn: str) -> bool:
    """Say in the target that `run` found nothing new: its row in memory.runs, and how far each source was read.

    The row takes the place of the idle run's before it. Returns False, having done nothing, when the target is not as
    the warehouse has left it: only a whole publication mends that.
    Raises PublishError when PostgreSQL refuses, SourceError when it cannot be reached.
    """
    with _in_turn(con, dsn, f"the heartbeat of {run.stage}") as pg:
        if not all(_is_as_left(con, pg, table) for table in (*STAGE_TABLES[run.stage], PARAMETERS)):
            return False
        counts = {SOURCES.name: send_table(con, pg, SOURCES, run)}
        _leave_marks(con, pg, run, uuid4().hex, [SOURCES.name], counts)
        pg.execute(
            "delete from memory.runs where stage = %s and run_id <> %s and changed_tables <@ %s::text[]",
            [run.stage, run.run_id, [SOURCES.name]],
        )
    return True


def publish_part(
    con: duckdb.DuckDBPyConnection, stage: str, table: PublishedTable, part: Difference, *, dsn: str, run_id: str
) -> bool:
    """Send rows of one table before the stage's publication, in a transaction of their own, as if that had sent them.

    All parts of a table that a run sends so leave one row in memory.runs, which names its stage with IN_PART, for the
    stage is not published yet. Returns False, having done nothing, when the
    target is not as the warehouse has left it: only a whole publication mends that.
    Raises as `publish_stage` does.
    """
    run = replace(_current_run(con, stage, run_id), stage=stage + IN_PART)
    with _in_turn(con, dsn, f"publishing a part of {table.name}") as pg:
        if not _is_as_left(con, pg, table):
            return False
        written, deleted = send_table(con, pg, table, run, difference=part)
        before = pg.execute(
            "delete from memory.runs where publish_id = %s and run_id = %s and stage = %s "
            "and changed_tables = %s::text[] returning rows_written, rows_deleted",
            [mark_in_warehouse(con, table), run.run_id, run.stage, [table.name]],
        ).fetchone() or (0, 0)
        counts = {table.name: (written + before[0], deleted + before[1])}
        _leave_marks(con, pg, run, uuid4().hex, [table.name], counts)
    return True


@contextmanager
def _in_turn(con: duckdb.DuckDBPyConnection, dsn: str, what: str) -> Iterator[Target]:
    """Commit the block's changes in the target, and after them those in the warehouse; or none of them.

    Publications take turns, so that the marks that one has read still hold when it commits.
    """
    import psycopg

    try:
        with connect(dsn) as pg, transaction(con):
            migrate(pg)
            pg.execute("select pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
            yield pg
            pg.commit()
    except psycopg.Error as error:
        raise PublishError(
            f"{what} to {place(dsn)} failed, nothing was changed there: {without_secrets(str(error), dsn)}"
        ) from None


def _found_ahead(
    con: duckdb.DuckDBPyConnection, table: PublishedTable, ahead: Mapping[str, Compared]
) -> Difference | None:
    compared = ahead.get(table.name)
    return compared.difference if compared and compared.still_holds(con, table) else None


def _current_run(con: duckdb.DuckDBPyConnection, stage: str, run_id: str) -> Run:
    row = con.execute(
        "select run_id, stage, as_of, params_hash from raw.run_context where stage = ?", [stage]
    ).fetchone()
    if row is None or row[0] != run_id:
        current = "none was begun" if row is None else f"that is {row[0]!r}"
        raise PublishError(f"run {run_id!r} is not the current one of {stage} ({current}); run the stage again")
    return Run(*row)


def _is_as_left(con: duckdb.DuckDBPyConnection, pg: Target, table: PublishedTable) -> bool:
    """Whether the table's last publication in the target is the one that the warehouse knows."""
    row = pg.execute(
        "select publish_id from memory.runs where %s = any(changed_tables) order by sequence desc limit 1",
        [table.name],
    ).fetchone()
    return (row[0] if row else None) == mark_in_warehouse(con, table)


def _stage_parameters(con: duckdb.DuckDBPyConnection, parameters: Mapping[str, Parameter]) -> None:
    con.execute(
        "create or replace temp table run_parameters (name varchar, value varchar, unit varchar, allowed varchar, "
        "meaning varchar, source varchar, basis varchar)"
    )
    rows = [(p.name, json.dumps(p.value), p.unit, p.allowed, p.meaning, p.source, p.basis) for p in parameters.values()]
    con.execute(
        "insert into run_parameters values " + ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(rows)),
        [value for row in rows for value in row],
    )


def _leave_marks(
    con: duckdb.DuckDBPyConnection,
    pg: Target,
    run: Run,
    publish_id: str,
    changed: list[str],
    counts: dict[str, tuple[int, int]],
) -> None:
    """Write the publication's row into memory.runs, and its id beside each changed table's hashes.

    A retry that changes nothing adds no second row for its run.
    """
    pg.execute(
        """
        insert into memory.runs
            (publish_id, run_id, stage, as_of, params_hash, changed_tables, rows_written, rows_deleted)
        select
            %(publish_id)s, %(run_id)s, %(stage)s, %(as_of)s, %(params_hash)s,
            %(changed)s::text[], %(written)s, %(deleted)s
        where cardinality(%(changed)s::text[]) > 0
            or not exists (select 1 from memory.runs where run_id = %(run_id)s and stage = %(stage)s)
        """,
        {
            **vars(run),
            "publish_id": publish_id,
            "changed": changed,
            "written": sum(written for written, _ in counts.values()),
            "deleted": sum(deleted for _, deleted in counts.values()),
        },
    )
    for name in changed:
        con.execute("insert or replace into published.mark values (?, ?)", [name, publish_id])
