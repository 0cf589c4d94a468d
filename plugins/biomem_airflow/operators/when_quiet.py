"""The base of what must not happen in the midst of a stage's run."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException
from biomem.errors import ConfigurationError
from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.removal import stage_in_progress

from biomem_airflow.operators.run_facts import is_under_way

if TYPE_CHECKING:
    from airflow.sdk import Context
    from biomem.settings import Settings

LOOK_AGAIN_AFTER = timedelta(seconds=3)


class WhenQuietOperator(BaseOperator):
    """Waits, without holding the pool's slot, until no stage is half computed; then works while it holds the slot.

    The slot is taken by task, and a run of a stage has several: between two of them the warehouse is not as any run
    leaves it. A stage whose run has died counts as over.
    """

    ui_color = "#fdf1d6"

    def execute(self, context: Context) -> Any:
        settings = load_settings()
        if stage := self._stage_under_way(settings, context):
            self.log.info("waiting for the run of %s that is under way", stage)
            raise AirflowRescheduleException(datetime.now(timezone.utc) + LOOK_AGAIN_AFTER)
        try:
            return self.work(context, settings)
        except ConfigurationError as error:
            # what a person has entered does not get better by a retry
            raise AirflowFailException(str(error)) from error

    @abstractmethod
    def work(self, context: Context, settings: Settings) -> Any:
        """Do it; the result is the task's."""

    def _stage_under_way(self, settings: Settings, context: Context) -> str | None:
        if not settings.warehouse_path.exists():
            return None
        with open_warehouse(settings, purpose=f"task {self.task_id}") as con:
            stage = stage_in_progress(con)
        return stage if stage is not None and is_under_way(context, stage) else None


def asked_by(context: Context) -> str:
    """Who started the run; the DAG itself when nobody did."""
    run = context["dag_run"]
    return str(getattr(run, "triggering_user_name", None) or f"run {run.run_id} of {run.dag_id}")
