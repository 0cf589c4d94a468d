"""Recall as of an instant that lies behind: answered from a rebuild, which is kept for the next question about it.

The rebuild is made from a copy of the warehouse and published into a database of its own in the home's embedded
PostgreSQL; nothing that is in service is touched. It is made anew when the log has grown or parameters have changed.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomem.demo.postgres import embedded
from biomem.errors import EmbeddingError, WarehouseError
from biomem.parameters import load_parameters, params_hash
from biomem.recall.embedding import embed_new
from biomem.source.dsn import connect
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import STAGES
from biomem.warehouse.publish import publish_stage
from biomem.warehouse.rebuild import rebuild

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import psycopg

    from biomem.demo.postgres import EmbeddedPostgres
    from biomem.settings import Settings

KEPT = 3
"""How many rebuilds are kept, the newest ones."""
PREFIX = "biomem_as_of_"

Report = Callable[[str], None]


def is_past(settings: Settings, as_of: datetime) -> bool:
    """Whether a stage has computed beyond `as_of` already, so that what is published is no answer for it."""
    with open_warehouse(settings, read_only=True) as con:
        row: Any = con.execute("select max(as_of) from raw.run_context").fetchone()
    return row[0] is not None and as_of < row[0]


@contextmanager
def memory_as_of(settings: Settings, as_of: datetime, *, report: Report = lambda _: None) -> Iterator[str]:
    """Connection string of a database whose schema `memory` is as it was at `as_of`.

    Raises WarehouseError when nothing was pulled yet; ServiceError when the embedded PostgreSQL does not start.
    """
    name = PREFIX + _key(settings, as_of)
    with embedded(settings) as server:
        if name not in _complete(server):
            report(f"building the memory as it was at {as_of.isoformat()}; it is kept for the next question")
            _discard(server, [name])
            _build(settings, as_of, server.dsn(name), report)
            with _postgres(server) as pg:
                pg.execute(f"comment on database {name} is 'complete'".encode())
            _discard(server, _complete(server)[KEPT:])
        yield server.dsn(name)


def discard_all(settings: Settings) -> int:
    """Drop every rebuild that is kept; returns how many there were."""
    if not (settings.postgres_dir / "data").exists():
        return 0
    with embedded(settings) as server:
        with _postgres(server) as pg:
            rows = pg.execute("select datname::text from pg_database where starts_with(datname, %s)", [PREFIX])
            names = [name for (name,) in rows]
        _discard(server, names)
    return len(names)


def _key(settings: Settings, as_of: datetime) -> str:
    """What the rebuild follows from: the instant, the parameters and how far the log goes."""
    with open_warehouse(settings, read_only=True) as con:
        row: Any = con.execute("select coalesce(max(batch_id), 0), count(*) from raw.pulls").fetchone()
    if row[1] == 0:
        raise WarehouseError(
            "there is nothing to look back on yet: nothing was pulled; run `biomem run short_term_memory`"
        )
    return hashlib.sha256(repr((as_of.timestamp(), params_hash(settings), *row)).encode()).hexdigest()[:16]


def _build(settings: Settings, as_of: datetime, dsn: str, report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="as-of-", dir=settings.home) as folder:
        copy = replace(settings, home=Path(folder))
        with open_warehouse(settings, purpose="biomem recall --as-of") as con:
            con.execute("checkpoint")
            shutil.copy(settings.warehouse_path, copy.warehouse_path)
        rebuild(copy, as_of, report=report)
        with open_warehouse(copy, purpose="biomem recall --as-of") as con:
            runs = dict(con.execute("select stage, run_id from raw.run_context").fetchall())
            for stage in STAGES:
                publish_stage(con, stage, dsn=dsn, run_id=runs[stage], parameters=load_parameters(copy))
    try:
        report(embed_new(settings, dsn, seconds=None).describe())
    except EmbeddingError as error:
        report(f"recalling by words alone: {error}")


def _complete(server: EmbeddedPostgres) -> list[str]:
    """Names of the finished rebuilds, the newest first."""
    with _postgres(server) as pg:
        rows = pg.execute(
            "select datname::text from pg_database where starts_with(datname, %s) "
            "and shobj_description(oid, 'pg_database') = 'complete' order by oid desc",
            [PREFIX],
        ).fetchall()
    return [name for (name,) in rows]


def _discard(server: EmbeddedPostgres, names: list[str]) -> None:
    from psycopg import sql

    with _postgres(server) as pg:
        for name in names:
            pg.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _postgres(server: EmbeddedPostgres) -> psycopg.Connection[tuple[Any, ...]]:
    return connect(server.dsn("postgres"), autocommit=True)
