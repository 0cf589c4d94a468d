"""The warehouse's own tables: schema `raw` (what was pulled, and the runs' bookkeeping) and schema `published`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from biomem.errors import WarehouseError

if TYPE_CHECKING:
    import duckdb

RAW_MIGRATIONS = Path(__file__).parent / "raw_migrations"


class Migration(NamedTuple):
    """One forward step of a schema: a file `NNN_name.sql`, numbered from 1 without gaps."""

    version: int
    name: str
    sql: str


def read_migrations(folder: Path) -> list[Migration]:
    """The migrations of `folder` in order. Raises WarehouseError when a number is missing or taken twice."""
    found = [
        Migration(int(match[1]), path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.sql"))
        if (match := re.match(r"(\d{3})_", path.name))
    ]
    if not found or [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise WarehouseError(f"{folder} must hold migrations numbered 001, 002, ... without gaps; reinstall biomem")
    return found


def schema_version(con: duckdb.DuckDBPyConnection) -> int:
    """The warehouse's schema version; 0 for an empty file."""
    has_table = con.execute(
        "select count(*) from duckdb_tables() where database_name = current_database() "
        "and schema_name = 'raw' and table_name = 'schema_version'"
    ).fetchone()
    if not has_table or not has_table[0]:
        return 0
    row = con.execute("select max(version) from raw.schema_version").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def is_current(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the warehouse has the version that this program writes. Raises WarehouseError when it is newer."""
    version, newest = schema_version(con), len(read_migrations(RAW_MIGRATIONS))
    if version > newest:
        raise WarehouseError(
            f"the warehouse has schema version {version}, this biomem knows up to {newest}; "
            "install the newer biomem, or use another --home"
        )
    return version == newest


def migrate(con: duckdb.DuckDBPyConnection) -> None:
    """Bring the warehouse to the newest schema version in one transaction; does nothing when it is there."""
    if is_current(con):
        return
    version = schema_version(con)
    con.begin()
    try:
        con.execute("create schema if not exists raw")
        con.execute("create table if not exists raw.schema_version (version integer not null, name varchar not null)")
        for migration in read_migrations(RAW_MIGRATIONS)[version:]:
            con.execute(migration.sql)
            con.execute("insert into raw.schema_version values (?, ?)", [migration.version, migration.name])
        con.commit()
    except BaseException:
        con.rollback()
        raise
