"""What the scheduler imports once, so that the tasks it forks start in a tenth of a second instead of two."""

from __future__ import annotations

import importlib
import tempfile

from biomem.settings import load_settings

MODULES = (
    "agate",
    "airflow.sdk.execution_time.task_runner",
    "cosmos.converter",
    "cosmos.operators.local",
    "dbt.adapters.duckdb",
    "dbt.adapters.factory",
    "dbt.parser.manifest",
    "dbt.task.build",
    "dbt.task.run",
    "dbt.task.test",
    "duckdb",
    "psycopg",
    "pyarrow",
)


def preload() -> None:
    """Import what tasks need and parse the dbt project once in this process.

    The parse must not use dbt's static parser: its threads do not survive a fork, and a task that had to parse again
    would wait for them for ever.
    """
    for name in MODULES:
        importlib.import_module(name)
    from dbt.cli.main import dbtRunner

    dbt_dir = str(load_settings().dbt_dir)
    with tempfile.TemporaryDirectory() as scratch:
        dbtRunner().invoke(
            [
                "--quiet",
                "parse",
                "--no-static-parser",
                *("--project-dir", dbt_dir),
                *("--profiles-dir", dbt_dir),
                *("--target-path", scratch),
                *("--log-path", scratch),
            ]
        )
