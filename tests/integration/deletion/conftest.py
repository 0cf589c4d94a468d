from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "dbt"))
from lives import Life

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path)


@pytest.fixture
def pg(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """The database that is source and target at once, in autocommit."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection
