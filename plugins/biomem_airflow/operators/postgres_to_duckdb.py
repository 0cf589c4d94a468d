"""PostgreSQL -> the warehouse's schema `raw`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.observability import stats
from biomem import watchdog
from biomem.errors import BiomemError
from biomem.settings import load_settings
from biomem.source.dsn import knock
from biomem.source.mapping import choose_source
from biomem.source.pull import pull_all
from biomem.source.scanner import settings_for_reading
from biomem.source.watermark import complete_as_of
from biomem.warehouse.connection import open_warehouse

from biomem_airflow.dag_defaults import AS_OF
from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.operators.run_facts import as_flag, as_instant, describe_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from biomem.settings import Settings
    from biomem.source.mapping import SourceTable
    from biomem.source.watermark import PullResult


class PostgresToDuckDBOperator(BaseOperator):
    """Pull what is new in the source tables, and in the target's access log, into the warehouse.

    Any retry is harmless: rows and watermark are committed together, and a window that could not be pulled is part of
    the next one. A server that is down is found out before anybody is kept from the warehouse. The result, one dict
    per table, holds the rows inserted, updated and deleted, the watermark before and after, and the seconds it took.
    The gauge `biomem.pull.lag_s` (tag `source`) tells how far each source lags behind the clock.

    :param source_conn_id: connection to the database with the memories
    :param target_conn_id: connection to the database with schema `memory`, where accesses are logged
    :param source_name: one source of source.yml; all of them when empty
    :param with_accesses: pull the access log too
    :param as_of: the run's instant (ISO 8601), at which deletions count that the source does not date
    :param reconcile: compare all keys now instead of at the next turn
    :param is_full: read every row, whatever the cursor says is new
    """

    template_fields: Sequence[str] = (
        "source_conn_id",
        "target_conn_id",
        "source_name",
        "as_of",
        "reconcile",
        "is_full",
    )
    ui_color = "#d7e8f7"

    def __init__(
        self,
        *,
        source_conn_id: str = "memory_source",
        target_conn_id: str = "memory_target",
        source_name: str | None = None,
        with_accesses: bool = True,
        as_of: str = AS_OF,
        reconcile: str | bool = False,
        is_full: str | bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source_conn_id = source_conn_id
        self.target_conn_id = target_conn_id
        self.source_name = source_name
        self.with_accesses = with_accesses
        self.as_of = as_of
        self.reconcile = reconcile
        self.is_full = is_full

    def execute(self, context: Context) -> list[dict[str, Any]]:
        self.log.info("%s; as of %s", describe_interval(context), self.as_of)
        settings = load_settings()
        sources = choose_source(settings, self.source_name or None)
        try:
            results = self._pull(settings, sources, context["run_id"])
        except BiomemError:
            with open_warehouse(settings, purpose=f"task {self.task_id}") as con:
                self._report_lag({source.name: complete_as_of(con, source.name) for source in sources})
            raise
        self._report_lag(dict.fromkeys((source.name for source in sources), as_instant(self.as_of)))
        for result in results:
            log = self.log.warning if result.rows_skipped else self.log.info
            log("%s", result.describe())
        return [asdict(result) for result in results]

    def _pull(self, settings: Settings, sources: Sequence[SourceTable], run_id: str) -> list[PullResult]:
        source_dsn, target_dsn = conninfo(self.source_conn_id), conninfo(self.target_conn_id)
        knock(source_dsn)
        with open_warehouse(settings, purpose=f"task {self.task_id}", config=settings_for_reading()) as con:
            if as_flag(self.is_full) or any(complete_as_of(con, source.name) is None for source in sources):
                watchdog.relax()
            return pull_all(
                con,
                sources,
                source_dsn=source_dsn,
                target_dsn=target_dsn,
                as_of=as_instant(self.as_of),
                run_id=run_id,
                reconcile=as_flag(self.reconcile),
                is_full=as_flag(self.is_full),
                with_accesses=self.with_accesses,
            )

    def _report_lag(self, complete: dict[str, datetime | None]) -> None:
        for name, instant in complete.items():
            if instant is None:
                self.log.info("%s was never pulled to its end", name)
                continue
            lag_s = (datetime.now(timezone.utc) - instant).total_seconds()
            stats.gauge("biomem.pull.lag_s", lag_s, tags={"source": name})
            self.log.info("%s is complete as of %s, %.0f s ago", name, instant.isoformat(), lag_s)
