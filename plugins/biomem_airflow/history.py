"""Pruning what 2,880 runs a day leave behind: Airflow's own history, task logs, and the list of publications.

No memory is among it: the log and the models are never pruned.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from biomem.errors import PublishError, ServiceError
from biomem.source.dsn import connect, place, without_secrets

if TYPE_CHECKING:
    from datetime import datetime

# a task may not speak to Airflow's database itself, Airflow takes the address away; `airflow db clean` gets it back
METADATA_URL = "BIOMEM_METADATA_URL"
CLEANED = (
    *("asset_event", "callback", "dag_run", "deadline", "import_error", "job", "log"),
    *("task_instance", "task_instance_history", "task_reschedule", "trigger", "xcom"),
)


def prune_airflow(before: datetime) -> str:
    """Delete Airflow's record of runs that began before an instant; returns the last line of what Airflow says.

    The last run of each DAG stays. Raises ServiceError when the database is not named or refuses.
    """
    url = os.environ.get(METADATA_URL)
    if not url:
        raise ServiceError(
            f"{METADATA_URL} does not name Airflow's database: give it the value of "
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN, as `biomem up` and docker-compose.yml do"
        )
    command = [sys.executable, "-m", "airflow", "db", "clean", "--yes", "--skip-archive", "--error-on-cleanup-failure"]
    command += ["--clean-before-timestamp", before.isoformat(), "--tables", ",".join(CLEANED)]
    done = subprocess.run(
        command,
        env={**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url},
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stdout + done.stderr).strip().splitlines() or [""]
    if done.returncode != 0:
        raise ServiceError("Airflow's history could not be pruned; `airflow db clean` said:\n" + "\n".join(said[-15:]))
    return said[-1]


def prune_logs(folder: Path, before: datetime) -> tuple[int, int]:
    """Delete log files last written before an instant, and folders left empty; returns files and bytes."""
    files = size = 0
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(parent, name)
            # another run of this, or Airflow, may have been faster
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                if stat.st_mtime < before.timestamp():
                    path.unlink()
                    files, size = files + 1, size + stat.st_size
        if Path(parent) != folder:
            # what is not empty stays
            with contextlib.suppress(OSError):
                Path(parent).rmdir()
    return files, size


def prune_publications(dsn: str, before: datetime) -> int:
    """Delete publications before an instant from memory.runs; returns how many.

    The last of each stage stays, and the last that changed each table: by that the warehouse knows the target again.
    None before the first publication has made schema `memory`.
    Raises PublishError when PostgreSQL refuses, SourceError when it cannot be reached.
    """
    import psycopg

    try:
        with connect(dsn) as pg:
            if pg.execute("select to_regclass('memory.runs') is null").fetchone() == (True,):
                return 0
            return pg.execute(
                """
                delete from memory.runs as runs
                where runs.published_at < %s
                    and runs.sequence not in (select max(sequence) from memory.runs group by stage)
                    and runs.sequence not in (
                        select max(sequence)
                        from memory.runs, unnest(changed_tables) as changed_table
                        group by changed_table
                    )
                """,
                [before],
            ).rowcount
    except psycopg.Error as error:
        reason = without_secrets(str(error), dsn)
        raise PublishError(f"memory.runs in {place(dsn)} could not be pruned: {reason}") from None
