"""Airflow's own database, brought to this Airflow's version when it is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from biomem.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from biomem.demo.postgres import EmbeddedPostgres
    from biomem.settings import Settings

DATABASE = "airflow"


@dataclass(frozen=True)
class Metadata:
    """Airflow's database: its SQLAlchemy URLs for both kinds of driver, and how to ask which revision it is at.

    `revision` returns None for an empty database. `stamp` is the file that remembers the last migration.
    """

    url: str
    async_url: str
    revision: Callable[[], str | None]
    stamp: Path

    def migrate(self, environment: Mapping[str, str]) -> None:
        """Bring the database to this Airflow's version, which takes about ten seconds (see `is_current`).

        Raises ServiceError when the migration fails.
        """
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
            raise ServiceError(f"Airflow's database could not be migrated; `airflow db migrate` said:\n{tail}")
        self.stamp.write_text(json.dumps(self._mark(self.revision())) + "\n")

    def is_current(self) -> bool:
        """Whether the last migration was this version's and nobody has changed the database since."""
        revision = self.revision()
        return (
            revision is not None and self.stamp.exists() and json.loads(self.stamp.read_text()) == self._mark(revision)
        )

    @staticmethod
    def _mark(revision: str | None) -> dict[str, str | None]:
        return {"airflow": version("apache-airflow-core"), "revision": revision}


def in_postgres(postgres: EmbeddedPostgres, settings: Settings) -> Metadata:
    """Return a database of the embedded PostgreSQL: tasks start in .1-.5 s on it, on SQLite in 1-2 s."""
    import psycopg

    dsn = postgres.dsn(DATABASE)

    def revision() -> str | None:
        with psycopg.connect(dsn) as connection:
            if connection.execute("select to_regclass('public.alembic_version')").fetchone() == (None,):
                return None
            row = connection.execute("select version_num from public.alembic_version").fetchone()
            return str(row[0]) if row else None

    return Metadata(
        postgres.url(DATABASE, "postgresql+psycopg2"),
        postgres.url(DATABASE, "postgresql+asyncpg"),
        revision,
        settings.airflow_home / "migrated.json",
    )


def in_sqlite(settings: Settings) -> Metadata:
    """Return a file of its own for runs without a server: no scheduler that happens to run may meddle with those."""
    import sqlite3

    path = settings.airflow_home / "runs.db"

    def revision() -> str | None:
        if not path.exists():
            return None
        with closing(sqlite3.connect(path)) as connection:
            if not connection.execute("select 1 from sqlite_master where name = 'alembic_version'").fetchone():
                return None
            row = connection.execute("select version_num from alembic_version").fetchone()
            return str(row[0]) if row else None

    return Metadata(f"sqlite:///{path}", f"sqlite+aiosqlite:///{path}", revision, settings.airflow_home / "runs.json")
