"""Schema `memory` in the target PostgreSQL: made and brought up to date by numbered migrations, forward only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomem.errors import PublishError
from biomem.source.dsn import connect, place, without_secrets
from biomem.warehouse.roles import protect
from biomem.warehouse.schema import read_migrations
from biomem.warehouse.similarity import use_pgvector

if TYPE_CHECKING:
    import psycopg

MIGRATIONS = Path(__file__).parent / "migrations"
# any number does, as long as every process takes the same: "biomem"
ADVISORY_LOCK = 0x62696F6D656D


def ensure_target_schema(dsn: str) -> int:
    """Bring schema `memory` of `dsn` to the newest version, in one transaction; returns that version.

    Two processes at once wait for each other. Raises PublishError when it may not, or when the schema is of a newer
    biomem; SourceError when the database cannot be reached.
    """
    import psycopg

    with connect(dsn) as pg:
        try:
            return migrate(pg)
        except psycopg.Error as error:
            raise PublishError(
                f"schema memory cannot be set up in {place(dsn)}: {without_secrets(str(error), dsn)}; it needs a role "
                "that may create a schema there, or that owns schema memory"
            ) from None


def migrate(pg: psycopg.Connection[tuple[Any, ...]]) -> int:
    """Apply the migrations that are missing, within the transaction of `pg`."""
    migrations = read_migrations(MIGRATIONS)
    version = _version(pg)
    if version < len(migrations):
        pg.execute("select pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        version = _version(pg)
    if version > len(migrations):
        raise PublishError(
            f"schema memory in {pg.info.dbname!r} has version {version}, this biomem knows up to {len(migrations)}; "
            "install the newer biomem"
        )
    if version == 0:
        # "if not exists" would ask for the right to create schemas even where this role owns the one that is there
        if pg.execute("select 1 from pg_namespace where nspname = 'memory'").fetchone() is None:
            pg.execute("create schema memory")
        pg.execute("create table memory.schema_version (version integer primary key, name text not null)")
        pg.execute("comment on schema memory is 'The memories as biomem keeps them; see the comments on its tables'")
        pg.execute("comment on table memory.schema_version is 'Migrations that were applied'")
    for migration in migrations[version:]:
        pg.execute(migration.sql.encode())
        pg.execute("insert into memory.schema_version values (%s, %s)", [migration.version, migration.name])
    if version < len(migrations):
        protect(pg)
    use_pgvector(pg)
    return len(migrations)


def _version(pg: psycopg.Connection[tuple[Any, ...]]) -> int:
    # not to_regclass: within a transaction it may answer from a cache older than the lock
    there = pg.execute(
        "select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = 'memory' and c.relname = 'schema_version'"
    ).fetchone()
    if there is None:
        return 0
    row = pg.execute("select coalesce(max(version), 0) from memory.schema_version").fetchone()
    assert row is not None
    return int(row[0])
