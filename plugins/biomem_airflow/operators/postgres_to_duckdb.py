"""PostgreSQL -> the warehouse's schema `raw`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from biomem.settings import load_settings
from biomem.source.mapping import choose_source
from biomem.source.pull import pull_all
from biomem.warehouse.connection import open_warehouse

from biomem_airflow.dag_defaults import AS_OF
from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.operators.run_facts import as_flag, as_instant, describe_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context


class PostgresToDuckDBOperator(BaseOperator):
    """Pull what is new in the source tables, and in the target's access log, into the warehouse.

    Any retry is harmless: rows and watermark are committed together. The result, one dict per table, holds the rows
    inserted, updated and deleted, the watermark before and after, and the seconds it took.

    :param source_conn_id: connection to the database with the memories
    :param target_conn_id: connection to the database with schema `memory`, where accesses are logged
    :param source_name: one source of source.yml; all of them when empty
    :param as_of: the run's instant (ISO 8601), at which deletions count that the source does not date
    :param reconcile: compare all keys now instead of at the next turn
    """

    template_fields: Sequence[str] = ("source_conn_id", "target_conn_id", "source_name", "as_of", "reconcile")
    ui_color = "#d7e8f7"

    def __init__(
        self,
        *,
        source_conn_id: str = "memory_source",
        target_conn_id: str = "memory_target",
        source_name: str | None = None,
        as_of: str = AS_OF,
        reconcile: str | bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source_conn_id = source_conn_id
        self.target_conn_id = target_conn_id
        self.source_name = source_name
        self.as_of = as_of
        self.reconcile = reconcile

    def execute(self, context: Context) -> list[dict[str, Any]]:
        self.log.info("%s; as of %s", describe_interval(context), self.as_of)
        settings = load_settings()
        with open_warehouse(settings, purpose=f"task {self.task_id}") as con:
            results = pull_all(
                con,
                choose_source(settings, self.source_name or None),
                source_dsn=conninfo(self.source_conn_id),
                target_dsn=conninfo(self.target_conn_id),
                as_of=as_instant(self.as_of),
                run_id=context["run_id"],
                reconcile=as_flag(self.reconcile),
            )
        for result in results:
            log = self.log.warning if result.rows_skipped else self.log.info
            log("%s", result.describe())
        return [asdict(result) for result in results]
