"""PostgreSQL as DuckDB sees it: the scanner extension, attached read-only for as long as it is needed."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from biomem.errors import SourceError
from biomem.source.dsn import place, with_session_limits, without_secrets
from biomem.warehouse.connection import is_write_failure, quote_literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

CATALOG = "biomem_source"
# ids that `biomem forget --hard` keeps away
FORGOTTEN = "select memory_id from raw.receipts where is_blocked"
# what a DuckDB secret holds; libpq's other keywords go along when attaching
SECRET_KEYS = ("host", "port", "user", "password", "dbname")
BAD_VALUE = re.compile(r"invalid input syntax|out of range")


class UnreadableValue(SourceError):
    """A value of the source that cannot be read as its column is mapped."""


# how the file looked that DuckDB has checked in this process, or in the one that it was forked from
_checked: tuple[int, ...] | None = None


def check_extension() -> None:
    """Have DuckDB check the signature of the extension, for this process and those that are forked from it.

    It hashes 40 MB each time it loads one, .2 s of CPU. See `settings_for_reading`. Raises duckdb.IOException when the
    signature does not fit.
    """
    import duckdb

    global _checked
    before = _looks(_extension())
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute(f"load {quote_literal(str(_extension()))}")
    _checked = before


def settings_for_reading() -> dict[str, str]:
    """How to open a warehouse that will read PostgreSQL: without another check where the file is the one checked."""
    if _checked is None or not _extension().exists() or _looks(_extension()) != _checked:
        # loading it says what is wrong, if anything is
        return {}
    return {"allow_unsigned_extensions": "true"}


def _looks(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@contextmanager
def attached(con: duckdb.DuckDBPyConnection, dsn: str) -> Iterator[None]:
    """Attach the PostgreSQL of `dsn` as `biomem_source`; every failure in the block becomes a SourceError.

    It is an UnreadableValue where the server could not convert a value.

    Inside one DuckDB transaction all reads see one snapshot (the extension reads REPEATABLE READ). The password
    travels as a parameter into a temporary secret, in no SQL text.
    """
    import duckdb
    import psycopg

    parts = with_session_limits(dsn)
    secret = {key: value for key, value in parts.items() if key in SECRET_KEYS}
    others = " ".join(f"{key}={_quote(value)}" for key, value in parts.items() if key not in SECRET_KEYS)
    try:
        con.execute(f"load {quote_literal(str(_extension()))}")
        # it was for this one only
        con.execute("set allow_unsigned_extensions = false")
        fields = "".join(f", {key} ${key}" for key in secret)
        con.execute(f"create or replace temporary secret {CATALOG} (type postgres{fields})", secret)
        con.execute(f"attach {quote_literal(others)} as {CATALOG} (type postgres, secret {CATALOG}, read_only)")
        yield
    except (duckdb.Error, psycopg.Error) as error:
        if is_write_failure(error):
            raise
        message = without_secrets(str(error), dsn)
        failure = UnreadableValue if BAD_VALUE.search(message) else SourceError
        raise failure(
            f"reading from PostgreSQL ({place(dsn)}) failed: {message}; "
            "nothing was changed that the next pull does not go on from"
        ) from None
    finally:
        # a warehouse that is shut by a full disk has let go of it already
        with suppress(duckdb.FatalException):
            con.execute(f"detach database if exists {CATALOG}")
            con.execute(f"drop secret if exists {CATALOG}")


def _extension() -> Path:
    """The extension as its package carries it: INSTALL would need a network or a home folder to copy it to."""
    import duckdb

    package = files("duckdb_extension_postgres_scanner")
    return Path(str(package)) / "extensions" / f"v{duckdb.__version__}" / "postgres_scanner.duckdb_extension"


def remote(sql: str) -> str:
    """What to write after FROM for the rows of `sql`, run in the attached PostgreSQL."""
    return f"postgres_query('{CATALOG}', {quote_literal(sql)})"


def query(con: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyConnection:
    """Run `sql` in the attached PostgreSQL and hand back its rows."""
    return con.execute(f"from {remote(sql)}")


def adopt_snapshot(con: duckdb.DuckDBPyConnection, snapshot: str) -> None:
    """Read what another session's exported snapshot shows; the first thing in a transaction."""
    statement = f"set transaction snapshot {quote_literal(snapshot)}"
    con.execute(f"call postgres_execute('{CATALOG}', {quote_literal(statement)})")


def stage(con: duckdb.DuckDBPyConnection, table: str, *selects: str) -> None:
    """Put the rows of the SELECTs, run in the attached PostgreSQL, into the temporary table `table`.

    They have a column memory_id. What was removed for good is left out, also while the source still has it.
    """
    first, *more = selects
    con.execute(f"create or replace temp table {table} as from {remote(first)}")
    for select in more:
        con.execute(f"insert into {table} from {remote(select)}")
    con.execute(f"delete from {table} where memory_id in ({FORGOTTEN})")


def _quote(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
