"""The published figures, as tables of an in-memory DuckDB: facts with their sources, under `data/`."""

from __future__ import annotations

from importlib.resources import as_file, files

import duckdb

from biomem.warehouse.connection import without_progress_bar

TABLES = ("retention", "serial_position", "fan", "practice", "spacing", "fsrs6")


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB without a file that holds one table for each published data set."""
    connection = without_progress_bar(duckdb.connect(config={"threads": 1}))
    with as_file(files("biomem.oracles") / "data") as folder:
        for table in TABLES:
            connection.execute(f"create table {table} as from read_csv($path)", {"path": str(folder / f"{table}.csv")})
    return connection
