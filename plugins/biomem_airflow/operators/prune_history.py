"""What runs leave behind, pruned to the last days."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.configuration import conf

from biomem_airflow.dag_defaults import DUE_AT
from biomem_airflow.history import prune_airflow, prune_logs, prune_publications
from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.operators.run_facts import as_instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context


class PruneHistoryOperator(BaseOperator):
    """Delete Airflow's runs, task logs and rows of memory.runs older than some days. Harmless when repeated.

    :param keep_days: days that are kept, at least 1
    :param as_of: from when they are counted (ISO 8601)
    :param target_conn_id: connection to the database with schema `memory`
    """

    template_fields: Sequence[str] = ("keep_days", "as_of", "target_conn_id")
    ui_color = "#eeeeee"

    def __init__(
        self, *, keep_days: str, as_of: str = DUE_AT, target_conn_id: str = "memory_target", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.keep_days = keep_days
        self.as_of = as_of
        self.target_conn_id = target_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        before = as_instant(self.as_of) - timedelta(days=int(self.keep_days))
        self.log.info("keeping what is younger than %s", before.isoformat())
        publications = prune_publications(conninfo(self.target_conn_id), before)
        files, size = prune_logs(Path(conf.get("logging", "base_log_folder")), before)
        self.log.info("Airflow: %s", prune_airflow(before))
        self.log.info("%s publications, %s log files of %.1f MB", publications, files, size / 1024**2)
        return {"publications": publications, "log_files": files, "log_bytes": size}
