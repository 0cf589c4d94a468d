from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from biomem.warehouse.connection import open_warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb
    from biomem.settings import Settings


@pytest.fixture
def pg(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """An empty target database, in autocommit."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def con(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """An open warehouse, empty but for its own tables."""
    with open_warehouse(settings) as connection:
        yield connection
