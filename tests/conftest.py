"""What holds for every test: no test may find, or leave behind, an Airflow home of the person who runs it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from biomem.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biomem.demo.postgres import EmbeddedPostgres

_database_numbers = count(1)

# Files that take minutes: first, so that none of them is what all other workers wait for in the end.
LONG_FILES = ("test_forget.py", "test_demo.py", "test_rebuild.py", "test_budget.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG_FILES)


# a temporary root of this session's own: every pytest that starts closes the shared one to other users, and as root the
# embedded PostgreSQL runs as another user
_temporary_root = tempfile.mkdtemp(prefix="biomem-tests-")
atexit.register(shutil.rmtree, _temporary_root, ignore_errors=True)
os.environ["PYTEST_DEBUG_TEMPROOT"] = _temporary_root

# before anything imports Airflow, which reads its home once
_airflow_home = tempfile.mkdtemp(prefix="biomem-tests-airflow-")
atexit.register(shutil.rmtree, _airflow_home, ignore_errors=True)
os.environ.update(
    {
        "AIRFLOW_HOME": _airflow_home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
        "AIRFLOW__COSMOS__CACHE_DIR": os.path.join(_airflow_home, "cosmos"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "False",
    }
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A real PostgreSQL of this session's own, started once."""
    from biomem.demo.postgres import embedded

    # not under pytest's own folder: another session shuts that to the user that the server runs as
    home = Path(tempfile.mkdtemp(prefix="biomem-tests-postgres-"))
    try:
        with embedded(load_settings(home, {})) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def dsn(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The connection string of an empty database of the test's own."""
    name = f"test_{next(_database_numbers)}"
    yield postgres.dsn(name)
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a home of the test's own and nothing from the environment."""
    return load_settings(tmp_path / "home", {"BIOMEM_MAX_MEMORY": "1GB", "BIOMEM_THREADS": "2"})
