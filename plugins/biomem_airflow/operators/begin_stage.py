"""The first task of a stage: what instant, which agents, and what is new since the last completed run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException
from biomem.parameters import params_hash
from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import begin_stage

from biomem_airflow.dag_defaults import AGENT_ID, AS_OF, FULL_REFRESH
from biomem_airflow.operators.run_facts import as_flag, as_instant, describe_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context


class BeginStageOperator(BaseOperator):
    """Write the run's context (instant, parameters' hash) and its agents' clocks, which every model reads.

    Skips the stage when the instant lies before what was computed already (the message then points to
    `rebuild_memory`), and a sleep stage while `short_term_memory` has never run.

    :param stage: short_term_memory, consolidation, nightly_decay or weekly_homeostasis
    :param as_of: up to when to compute (ISO 8601)
    :param agent_id: limit the run to one agent; all when empty
    :param full_refresh: take every memory for new
    """

    template_fields: Sequence[str] = ("stage", "as_of", "agent_id", "full_refresh")
    ui_color = "#e9e2f5"

    def __init__(
        self,
        *,
        stage: str,
        as_of: str = AS_OF,
        agent_id: str | None = AGENT_ID,
        full_refresh: str | bool = FULL_REFRESH,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.as_of = as_of
        self.agent_id = agent_id
        self.full_refresh = full_refresh

    def execute(self, context: Context) -> dict[str, Any]:
        self.log.info("%s; as of %s", describe_interval(context), self.as_of)
        settings = load_settings()
        with open_warehouse(settings, purpose=f"task {self.task_id} of {self.stage}") as con:
            start = begin_stage(
                con,
                self.stage,
                run_id=context["run_id"],
                as_of=as_instant(self.as_of),
                params_hash=params_hash(settings),
                agent_id=self.agent_id or None,
                full_refresh=as_flag(self.full_refresh),
            )
        if start.status != "ready":
            raise AirflowSkipException(start.message)
        self.log.info("%s", start.message)
        return {
            "as_of": start.as_of.isoformat(),
            "agents": start.agents,
            "sequence": start.sequence,
        }
