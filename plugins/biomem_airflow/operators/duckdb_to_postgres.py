"""The last task of a stage: its results -> schema `memory` in PostgreSQL."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowRescheduleException
from biomem import watchdog
from biomem.errors import BiomemError, WarehouseError
from biomem.parameters import load_parameters
from biomem.recall.embedding import embed_new
from biomem.settings import load_settings
from biomem.warehouse.ahead import compare_ahead, pause
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import AWAKE, STAGES, complete_stage, takes_long
from biomem.warehouse.economy import note_published
from biomem.warehouse.publish import publish_stage

from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.links import MEMORY_PAGE
from biomem_airflow.operators.run_facts import describe_interval, is_under_way
from biomem_airflow.preload import parsed_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context
    from biomem.settings import Settings


# How often sleep asks whether the window under way is over, and from its first slice on for how long; and after which
# time it looks whether another stage of sleep is done, and for how long it waits for that.
LOOK_AGAIN_S = 1.0
PATIENCE_S = 120.0
NEXT_TURN = timedelta(seconds=15)
TURN_WITHIN = timedelta(minutes=10)


class DuckDBToPostgresOperator(BaseOperator):
    """Publish what the stage changed, in one PostgreSQL transaction, and mark the run as completed.

    Readers see all of it or nothing, but for a table in which sleep changes very many rows: it fills in parts (see
    `biomem.warehouse.ahead`). Any retry is harmless: what is published already is not sent again.

    :param stage: the stage whose tables are published
    :param target_conn_id: connection to the database with schema `memory`
    """

    template_fields: Sequence[str] = ("stage", "target_conn_id")
    operator_extra_links = (MEMORY_PAGE,)
    ui_color = "#d9f2df"

    def __init__(self, *, stage: str, target_conn_id: str = "memory_target", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.target_conn_id = target_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        self.log.info("%s", describe_interval(context))
        run_id = context["run_id"]
        settings = load_settings()
        dsn = conninfo(self.target_conn_id)
        purpose = f"task {self.task_id} of {self.stage}"
        try:
            ahead = compare_ahead(
                settings,
                self.stage,
                dsn=dsn,
                run_id=run_id,
                purpose=purpose,
                let_others_in=self._let_windows_pass(context),
            )
        except WarehouseError as error:
            self.log.warning("not compared ahead, but all at once: %s", error)
            ahead = {}
        with open_warehouse(settings, purpose=purpose) as con:
            if takes_long(con, self.stage):
                watchdog.relax()
            result = publish_stage(
                con,
                self.stage,
                dsn=dsn,
                run_id=run_id,
                parameters=load_parameters(settings),
                ahead=ahead,
            )
            complete_stage(con, self.stage, run_id)
            note_published(con, self.stage)
        self.log.info("%s", result.describe())
        if self.stage == AWAKE and not _assets_start_runs():
            self._embed(settings)
        return asdict(result)

    def _let_windows_pass(self, context: Context) -> Callable[[], None]:
        """Return what waits for a window that is under way, between two slices of a comparison.

        Stages of sleep compare one after the other, so that they leave a slot to windows: who is not first gives its
        own back and begins again.
        """
        give_up_at: float | None = None

        def wait() -> None:
            nonlocal give_up_at
            pause()
            if parsed_manifest() is None:
                return
            self._await_turn(context)
            give_up_at = give_up_at or time.monotonic() + PATIENCE_S
            while is_under_way(context, AWAKE) and time.monotonic() < give_up_at:
                time.sleep(LOOK_AGAIN_S)

        return wait

    def _await_turn(self, context: Context) -> None:
        now = datetime.now(timezone.utc)
        if now - (context["ti"].get_first_reschedule_date(context) or now) < TURN_WITHIN:
            for stage in STAGES[1 : STAGES.index(self.stage)]:
                if is_under_way(context, stage):
                    self.log.info("leaving the warehouse to %s", stage)
                    raise AirflowRescheduleException(now + NEXT_TURN)

    def _embed(self, settings: Settings) -> None:
        """Vectors for what has come in. Recall does without where there are none, so no failure here is the run's."""
        try:
            self.log.info("%s", embed_new(settings, conninfo(self.target_conn_id)).describe())
        except BiomemError as error:
            self.log.warning("recalling by words alone: %s", error)


def _assets_start_runs() -> bool:
    """Whether the DAG embeddings will follow; not without a scheduler, or with one that starts nothing."""
    return parsed_manifest() is not None and conf.getboolean("scheduler", "use_job_schedule", fallback=True)
