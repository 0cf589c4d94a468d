"""Publishing a stage's results to schema `memory` in PostgreSQL: changed rows only, all of them at once.

The warehouse remembers key and hash of every row it has sent. DuckDB and PostgreSQL cannot commit together, so each
table also carries the id of the publication that last changed it, on both sides: PostgreSQL commits first, and a
warehouse that died before its own commit finds another id there, and sends that table whole.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from biomem.errors import PublishError
from biomem.source.dsn import connect, place, without_secrets
from biomem.warehouse.connection import transaction
from biomem.warehouse.published_tables import PARAMETERS, SOURCES, STAGE_TABLES, PublishedTable
from biomem.warehouse.target_schema import ADVISORY_LOCK, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    import duckdb
    import psycopg
    from psycopg.sql import Composable

    from biomem.parameters import Parameter

    Target = psycopg.Connection[tuple[Any, ...]]

ROWS_AT_ONCE = 2_000


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


@dataclass(frozen=True)
class Run:
    """A run of a stage, as it stands beside what it publishes."""

    run_id: str
    stage: str
    as_of: datetime
    params_hash: str


def publish_stage(
    con: duckdb.DuckDBPyConnection,
    stage: str,
    *,
    dsn: str,
    run_id: str,
    parameters: Mapping[str, Parameter] | None = None,
) -> PublishResult:
    """Bring the stage's tables in schema `memory` of `dsn` up to date, in one PostgreSQL transaction.

    `parameters` are those of the run, for memory.parameters; without them that table stays as it is.
    The schema is created or migrated when needed. Harmless when repeated: what is there already is not sent again.
    Raises PublishError, with the target as it was, when the run is not the stage's current one, a model is missing,
    or PostgreSQL refuses; SourceError when it cannot be reached.
    """
    import psycopg

    started = time.monotonic()
    run = _current_run(con, stage, run_id)
    tables = STAGE_TABLES[stage]
    if parameters is not None:
        _stage_parameters(con, parameters)
        tables = (*tables, PARAMETERS)
    publish_id = uuid4().hex
    try:
        with connect(dsn) as pg, transaction(con):
            migrate(pg)
            # publications take turns, so that the marks read below still hold at the commit
            pg.execute("select pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
            resent = [table.name for table in tables if _mark_in_target(pg, table) != _mark_in_warehouse(con, table)]
            counts = {table.name: _publish_table(con, pg, table, run, table.name in resent) for table in tables}
            changed = [name for name, (written, deleted) in counts.items() if written or deleted or name in resent]
            _leave_marks(con, pg, run, publish_id, changed, counts)
            pg.commit()
    except psycopg.Error as error:
        raise PublishError(
            f"publishing {stage} to {place(dsn)} failed, nothing was changed there: {without_secrets(str(error), dsn)}"
        ) from None
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
    import psycopg

    try:
        with connect(dsn) as pg, transaction(con):
            migrate(pg)
            pg.execute("select pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
            tables = (*STAGE_TABLES[run.stage], PARAMETERS)
            if any(_mark_in_target(pg, table) != _mark_in_warehouse(con, table) for table in tables):
                return False
            counts = {SOURCES.name: _publish_table(con, pg, SOURCES, run, is_whole=False)}
            _leave_marks(con, pg, run, uuid4().hex, [SOURCES.name], counts)
            pg.execute(
                "delete from memory.runs where stage = %s and run_id <> %s and changed_tables <@ %s::text[]",
                [run.stage, run.run_id, [SOURCES.name]],
            )
            pg.commit()
    except psycopg.Error as error:
        raise PublishError(
            f"the heartbeat of {run.stage} failed in {place(dsn)}: {without_secrets(str(error), dsn)}"
        ) from None
    return True


def _current_run(con: duckdb.DuckDBPyConnection, stage: str, run_id: str) -> Run:
    row = con.execute(
        "select run_id, stage, as_of, params_hash from raw.run_context where stage = ?", [stage]
    ).fetchone()
    if row is None or row[0] != run_id:
        current = "none was begun" if row is None else f"that is {row[0]!r}"
        raise PublishError(f"run {run_id!r} is not the current one of {stage} ({current}); run the stage again")
    return Run(*row)


def _mark_in_warehouse(con: duckdb.DuckDBPyConnection, table: PublishedTable) -> str | None:
    row = con.execute("select publish_id from published.mark where table_name = ?", [table.name]).fetchone()
    return row[0] if row else None


def _mark_in_target(pg: Target, table: PublishedTable) -> str | None:
    row = pg.execute(
        "select publish_id from memory.runs where %s = any(changed_tables) order by sequence desc limit 1",
        [table.name],
    ).fetchone()
    return row[0] if row else None


def _publish_table(
    con: duckdb.DuckDBPyConnection, pg: Target, table: PublishedTable, run: Run, is_whole: bool
) -> tuple[int, int]:
    """Send what changed in one table, or all of it; returns how many rows were written and deleted in the target."""
    columns = _stage_outgoing(con, table)
    if is_whole:
        con.execute("delete from published.rows where table_name = ?", [table.name])
    changed = con.execute(
        """
        create or replace temp table changed as
        select outgoing.* from outgoing
        anti join (select row_key, row_hash from published.rows where table_name = $name) as sent
            on sent.row_key = outgoing.row_key and sent.row_hash = outgoing.row_hash
        """,
        {"name": table.name},
    ).fetchall()[0][0]
    gone = con.execute(
        """
        create or replace temp table gone as
        select row_key from published.rows
        where table_name = $name and row_key not in (select row_key from outgoing)
        """,
        {"name": table.name},
    ).fetchall()[0][0]
    if not (changed or gone or is_whole):
        return 0, 0
    deleted = _delete(con, pg, table) if gone else 0
    _copy(con, pg, table, columns)
    if is_whole:
        deleted += _delete_unknown(pg, table)
    written = _upsert(pg, table, columns, run)
    con.execute(
        "delete from published.rows where table_name = ? "
        "and row_key in (select row_key from gone union all select row_key from changed)",
        [table.name],
    )
    con.execute("insert into published.rows select ?, row_key, row_hash from changed", [table.name])
    return written, deleted


def _stage_outgoing(con: duckdb.DuckDBPyConnection, table: PublishedTable) -> list[str]:
    """Put the table's rows as they should be, with key and hash, into `outgoing`; returns its columns."""
    import duckdb

    for model, definition in table.optional.items():
        con.execute(f"drop table if exists temp.{model}")
        if not _is_built(con, model):
            con.execute(f"create temp table {model} ({definition})")
    try:
        described: list[tuple[Any, ...]] = con.execute(f"describe {table.select}").fetchall()
    except duckdb.CatalogException as error:
        raise PublishError(
            f"table {table.name} cannot be published, a model it is made of was not built: {error}; run the stage's "
            "models first"
        ) from error
    columns = [str(name) for name, *_ in described]
    key = ", ".join(f"{name}::varchar" for name in table.key)
    con.execute(
        f"create or replace temp table outgoing as "
        f"select to_json([{key}])::varchar as row_key, hash({', '.join(columns)})::varchar as row_hash, * "
        f"from ({table.select})"
    )
    return columns


def _stage_parameters(con: duckdb.DuckDBPyConnection, parameters: Mapping[str, Parameter]) -> None:
    con.execute(
        "create or replace temp table run_parameters (name varchar, value varchar, unit varchar, allowed varchar, "
        "meaning varchar, source varchar, basis varchar)"
    )
    con.executemany(
        "insert into run_parameters values (?, ?, ?, ?, ?, ?, ?)",
        [(p.name, json.dumps(p.value), p.unit, p.allowed, p.meaning, p.source, p.basis) for p in parameters.values()],
    )


def _is_built(con: duckdb.DuckDBPyConnection, model: str) -> bool:
    sql = "select 1 from information_schema.tables where table_catalog = current_database() and table_name = ?"
    return con.execute(sql, [model]).fetchone() is not None


def _copy(con: duckdb.DuckDBPyConnection, pg: Target, table: PublishedTable, columns: Sequence[str]) -> None:
    from psycopg import sql

    target, names = sql.Identifier("memory", table.name), sql.SQL(", ").join(map(sql.Identifier, columns))
    pg.execute("drop table if exists pg_temp.incoming")
    pg.execute(
        sql.SQL("create temp table incoming on commit drop as select {} from {} with no data").format(names, target)
    )
    rows = con.execute(f"select {', '.join(columns)} from changed")
    with pg.cursor().copy(sql.SQL("copy pg_temp.incoming ({}) from stdin").format(names)) as copy:
        for row in _rows(rows):
            copy.write_row(row)


def _delete(con: duckdb.DuckDBPyConnection, pg: Target, table: PublishedTable) -> int:
    """Delete what the warehouse has sent before and holds no more."""
    from psycopg import sql

    target, names = sql.Identifier("memory", table.name), sql.SQL(", ").join(map(sql.Identifier, table.key))
    pg.execute("drop table if exists pg_temp.departed")
    pg.execute(
        sql.SQL("create temp table departed on commit drop as select {} from {} with no data").format(names, target)
    )
    parts = ", ".join(f"json_extract_string(row_key, '$[{place}]')" for place in range(len(table.key)))
    with pg.cursor().copy(sql.SQL("copy pg_temp.departed ({}) from stdin").format(names)) as copy:
        for row in _rows(con.execute(f"select {parts} from gone")):
            copy.write_row(row)
    return pg.execute(
        sql.SQL("delete from {} as t using pg_temp.departed as s where {}").format(target, _same_key(table))
    ).rowcount


def _delete_unknown(pg: Target, table: PublishedTable) -> int:
    """Delete what is not among all the rows that were just sent."""
    from psycopg import sql

    return pg.execute(
        sql.SQL("delete from {} as t where not exists (select 1 from pg_temp.incoming as s where {})").format(
            sql.Identifier("memory", table.name), _same_key(table)
        )
    ).rowcount


def _upsert(pg: Target, table: PublishedTable, columns: Sequence[str], run: Run) -> int:
    from psycopg import sql

    names = [sql.Identifier(name) for name in columns]
    stamps = [sql.Identifier(name) for name in ("run_id", "params_hash", "as_of")]
    values = [sql.Identifier(name) for name in columns if name not in table.key]
    set_list = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in [*values, *stamps])
    old = sql.SQL(", ").join(sql.SQL("t.{}").format(name) for name in values)
    new = sql.SQL(", ").join(sql.SQL("excluded.{}").format(name) for name in values)
    return pg.execute(
        sql.SQL(
            "insert into {target} as t ({names}, {stamps}) "
            "select {names}, %(run_id)s, %(params_hash)s, %(as_of)s from pg_temp.incoming "
            "on conflict ({key}) do update set {set_list} where ({old}) is distinct from ({new})"
        ).format(
            target=sql.Identifier("memory", table.name),
            names=sql.SQL(", ").join(names),
            stamps=sql.SQL(", ").join(stamps),
            key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
            set_list=set_list,
            old=old,
            new=new,
        ),
        {"run_id": run.run_id, "params_hash": run.params_hash, "as_of": run.as_of},
    ).rowcount


def _same_key(table: PublishedTable) -> Composable:
    from psycopg import sql

    return sql.SQL(" and ").join(sql.SQL("t.{0} = s.{0}").format(sql.Identifier(name)) for name in table.key)


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(ROWS_AT_ONCE):
        yield from rows


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
