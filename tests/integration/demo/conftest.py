from __future__ import annotations

import contextlib
import uuid

import psycopg
import pytest

from biomem.demo.postgres import embedded
from biomem.settings import load_settings


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with embedded(load_settings(tmp_path_factory.mktemp("server"), {})) as running:
        yield running


@pytest.fixture
def dsn(server):
    """Connection string of a database of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield server.dsn(name)
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def database(dsn):
    with contextlib.closing(psycopg.connect(dsn, autocommit=True)) as connection:
        yield connection
