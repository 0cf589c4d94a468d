"""Opening the DuckDB warehouse: one writer at a time, in UTC, within the memory it was given."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from biomem import watchdog
from biomem.errors import ConfigurationError, WarehouseError
from biomem.warehouse import schema
from biomem.warehouse.lock import POLL_S, WAIT_S, warehouse_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import duckdb

    from biomem.settings import Settings

WRITE_FAILURE = re.compile(r"[Cc]ould not (write|truncate|sync)|No space left|File too large|Out of Memory")


def quote_identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def qualified_name(schema: str, table: str) -> str:
    """A table as SQL names it."""
    return f"{quote_identifier(schema)}.{quote_identifier(table)}"


def quote_literal(text: str) -> str:
    """`text` as a SQL string literal, for the statements that take no parameters (SET, table functions)."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def open_warehouse(
    settings: Settings,
    read_only: bool = False,
    *,
    wait_s: float = WAIT_S,
    purpose: str = "biomem",
    config: Mapping[str, str] | None = None,
    is_long: bool = False,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse of `settings.home`, created and migrated as needed, under the warehouse lock.

    dbt in this process may run within the block, on connections of its own to the same open file. `config` is what
    DuckDB has to know when it opens the file; no other connection of this process may be open then without it. With
    `is_long`, for what computes much, DuckDB keeps the memory that it was given.
    Raises WarehouseError when another process keeps it for longer than `wait_s` seconds, when there is none to read,
    when it was written by a newer biomem, or when the file is not a warehouse; ConfigurationError when DuckDB does
    not take `max_memory` or `time_zone`. In the block, a disk that is full or memory that does not suffice is a
    WarehouseError too.
    """
    import duckdb

    path = settings.warehouse_path
    if read_only and not path.exists():
        raise WarehouseError(
            f"there is no warehouse at {path} yet; run `biomem demo` or `biomem run short_term_memory`"
        )
    with warehouse_lock(settings.home, shared=read_only, wait_s=wait_s, purpose=purpose):
        con = _connect(path, read_only, wait_s, config or {})
        try:
            _configure(con, settings)
            if read_only and not schema.is_current(con):
                raise WarehouseError(
                    f"{path} is of an older biomem; `biomem run short_term_memory` brings it up to date"
                )
            if is_long:
                _keep_blocks(con)
            if not read_only:
                schema.migrate(con)
            yield con
        except duckdb.Error as error:
            if not is_write_failure(error):
                raise
            raise WarehouseError(
                f"{path} could not be written: {_root(error)}; what was committed before is there. "
                "Make room on that disk (or raise BIOMEM_MAX_MEMORY) and try again"
            ) from None
        finally:
            con.close()


def is_write_failure(error: BaseException) -> bool:
    """Whether an error of DuckDB tells of its own disk or memory, rather than of a database that is attached."""
    return bool(
        re.search(r"[Cc]ould not write|No space left|File too large|Out of Memory|fsync|truncate", _root(error))
    )


def _root(error: BaseException) -> str:
    """What went wrong first: a failed write makes every statement after it fail as well."""
    import duckdb

    while isinstance(error.__context__, duckdb.Error):
        error = error.__context__
    return str(error).strip().splitlines()[0]


def without_progress_bar(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Keep DuckDB from drawing a bar on stdout during a long query, in the midst of the JSON that belongs there."""
    con.execute("set enable_progress_bar = false")
    return con


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit the block's statements together, or none of them."""
    con.begin()
    try:
        yield
        con.commit()
    except BaseException:
        _rollback(con)
        raise


def _rollback(con: duckdb.DuckDBPyConnection) -> None:
    import duckdb

    try:
        con.rollback()
    except (duckdb.TransactionException, duckdb.FatalException):
        # DuckDB has already undone it (a failed commit) or is shut; the error that led here is the one to show
        return


def _connect(path: Path, read_only: bool, wait_s: float, config: Mapping[str, str]) -> duckdb.DuckDBPyConnection:
    import duckdb

    deadline = time.monotonic() + wait_s
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only, config=dict(config))
        except duckdb.IOException as error:
            # dbt opens the file without our lock
            is_held = "lock" in str(error).lower()
            if is_held and time.monotonic() < deadline:
                time.sleep(POLL_S)
                watchdog.restart()
                continue
            advice = "wait for that process and try again" if is_held else "move the file away to start afresh"
            raise WarehouseError(f"{path} cannot be opened: {error}; {advice}") from error


def _configure(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    import duckdb

    without_progress_bar(con)
    try:
        # SET after connecting: connect(config=...) would refuse a second connection with other settings
        con.execute(f"set max_memory = {quote_literal(settings.max_memory)}")
        con.execute(f"set threads = {settings.threads}")
        con.execute("set timezone = 'UTC'")
    except duckdb.Error as error:
        raise ConfigurationError(f"BIOMEM_MAX_MEMORY={settings.max_memory!r} is refused by DuckDB: {error}") from error


def _keep_blocks(con: duckdb.DuckDBPyConnection) -> None:
    """Let DuckDB keep the blocks of memory that it has given back, until the file is closed, instead of unmapping them.

    Up to as much as it may use at all. Mapping them anew was a third of what a rebuild spent in the kernel; a window's
    tasks take a tenth longer with it (decision 0014).
    """
    import duckdb

    # refused, and done without, where max_memory is more than the machine has, or another connection has kept more
    with suppress(duckdb.InvalidInputException):
        con.execute("set block_allocator_memory = '100%'")
