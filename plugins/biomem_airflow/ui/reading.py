"""One view's reads: one connection, read only, and one snapshot, so that its numbers belong together."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from biomem.errors import BiomemError, SourceError
from biomem.source.dsn import connect, place, without_secrets
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Row = dict[str, Any]
Reader = psycopg.Connection[tuple[Any, ...]]
TIMEOUT_MS = 15_000


class NothingPublished(BiomemError):
    """Schema `memory` is not there yet, or older than this page."""


def kind_of(error: BiomemError) -> str:
    """What the page tells a person to do about it: run the pipeline, or look after the database."""
    return "empty" if isinstance(error, NothingPublished) else "database"


@contextmanager
def connection(dsn: Callable[[], str], *, may_write: bool = False) -> Iterator[Reader]:
    """A connection for one answer, one transaction. Raises NothingPublished or SourceError in plain words."""
    where = dsn()
    try:
        with connect(where) as pg:
            pg.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            pg.read_only = not may_write
            pg.execute("select set_config('statement_timeout', %s, true)", [str(TIMEOUT_MS)])
            yield pg
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction) as error:
        raise NothingPublished(
            f"Schema memory in {place(where)} is not there yet, or older than this page "
            f"({error.diag.message_primary}). It is made by the first run of the DAG short_term_memory."
        ) from None
    except psycopg.errors.QueryCanceled:
        raise SourceError(
            f"{place(where)} took longer than {TIMEOUT_MS // 1000} s to answer; try a single agent"
        ) from None
    except psycopg.Error as error:
        raise SourceError(f"{place(where)} failed: {without_secrets(str(error), where)}") from None


def rows(pg: Reader, query: str, parameters: Row | None = None) -> list[Row]:
    """The rows of a query, by column name."""
    with pg.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()


def one(pg: Reader, query: str, parameters: Row | None = None) -> Row:
    """The single row of a query."""
    return rows(pg, query, parameters)[0]
