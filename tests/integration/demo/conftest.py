from __future__ import annotations

import contextlib

import psycopg
import pytest


@pytest.fixture
def database(dsn):
    """A connection to the test's own database; every statement commits."""
    with contextlib.closing(psycopg.connect(dsn, autocommit=True)) as connection:
        yield connection
