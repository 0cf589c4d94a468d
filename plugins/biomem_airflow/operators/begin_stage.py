"""The first task of a stage: what instant, which agents, and what is new since the last completed run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import SkipDownstreamTasks
from biomem.parameters import load_parameters
from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import AWAKE, begin_stage, has_other_parameters
from biomem.warehouse.economy import Build, current_build, plan_stage, quiet_for
from biomem.warehouse.publish import publish_heartbeat
from biomem.warehouse.send import Run

from biomem_airflow.dag_defaults import AGENT_ID, AS_OF, FULL_REFRESH, TESTS
from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.operators.run_facts import as_flag, as_instant, describe_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from airflow.sdk import Context
    from biomem.settings import Settings


class BeginStageOperator(BaseOperator):
    """Write the run's context (instant, parameters' hash) and its agents' clocks, which every model reads.

    Skips the stage when the instant lies before what was computed already (the message then points to
    `rebuild_memory`), and a sleep stage while what it works on has never run. Leaves out what would come out the
    same: the models of a window to which nothing is new, and the rest of it too when nothing is in mind any more (a
    heartbeat is published instead); views that stand, and tests that have passed within the hour. After a change of
    parameters a run of all agents is a full refresh: the state follows from the log and the parameters, not from when
    they were changed.

    :param stage: short_term_memory, consolidation, nightly_decay or weekly_homeostasis
    :param as_of: up to when to compute (ISO 8601)
    :param agent_id: limit the run to one agent; all when empty
    :param full_refresh: take every memory for new
    :param target_conn_id: connection to the database with schema `memory`, for the heartbeat
    """

    template_fields: Sequence[str] = ("stage", "as_of", "agent_id", "full_refresh", "target_conn_id")
    ui_color = "#e9e2f5"

    def __init__(
        self,
        *,
        stage: str,
        as_of: str = AS_OF,
        agent_id: str | None = AGENT_ID,
        full_refresh: str | bool = FULL_REFRESH,
        target_conn_id: str = "memory_target",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.as_of = as_of
        self.agent_id = agent_id
        self.full_refresh = full_refresh
        self.target_conn_id = target_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        self.log.info("%s; as of %s", describe_interval(context), self.as_of)
        settings = load_settings()
        downstream = self.get_flat_relative_ids(upstream=False) if self.has_dag() else set()
        with open_warehouse(settings, purpose=f"task {self.task_id} of {self.stage}") as con:
            build = current_build(con, settings)
            quiet = self._quiet_for(con, build)
            if quiet is not None and self._is_idle(con, settings, build, context["run_id"], quiet):
                self.log.info("nothing is new and nothing in mind: the rest of the window is left out")
                begun, left_out = {"as_of": self.as_of, "agents": 0, "sequence": 0}, downstream
            else:
                begun, left_out = self._begin_with(con, context, build, downstream, is_quiet=quiet is not None)
                self.log.info("stands as it is: %s", ", ".join(sorted(left_out)) or "nothing")
        if left_out:
            # all at once; one after the other by their trigger rules takes the scheduler a second
            context["ti"].xcom_push(key="return_value", value=begun)
            raise DownstreamTasksSkipped(tasks=sorted(left_out))
        return begun

    def _begin_with(
        self, con: duckdb.DuckDBPyConnection, context: Context, build: Build, downstream: set[str], *, is_quiet: bool
    ) -> tuple[dict[str, Any], set[str]]:
        """Begin the run; returns what is handed on, and which of the tasks `downstream` are left out.

        Tables are left out all together or not at all: nothing is published beside one that is computed alone.
        """
        tables = {each for each in downstream if getattr(self.dag.get_task(each), "may_be_left_out", None) is False}
        if not is_quiet and self._has_left_out(context, tables):
            _skip_at_once(downstream)
            raise AirflowSkipException("a try before this one has left out models: the next run computes them")
        is_whole = as_flag(self.full_refresh) or self._is_outdated(con, build)
        begun = self._begin(con, build, context["run_id"], is_whole=is_whole)
        plan = plan_stage(con, self.stage, build, is_whole=is_whole, is_quiet=is_quiet)
        left_out = downstream & (plan.models | ({TESTS} if plan.is_tested else set()))
        return begun, left_out if tables <= left_out else left_out - tables

    def _has_left_out(self, context: Context, tables: set[str]) -> bool:
        """Whether a try before this one has left out tables and died: Airflow does not bring them back.

        What came in since must not be taken for computed. The run stays as it is, not completed, and the next one
        takes up what this one should have.
        """
        if not tables or context["ti"].try_number == 1:
            return False
        asked = {"dag_id": self.dag_id, "run_ids": [context["run_id"]], "task_ids": sorted(tables)}
        return bool(context["ti"].get_ti_count(**asked, states=["skipped"]))

    def _quiet_for(self, con: duckdb.DuckDBPyConnection, build: Build) -> timedelta | None:
        if self.stage != AWAKE or self.agent_id or as_flag(self.full_refresh):
            return None
        return quiet_for(con, as_of=as_instant(self.as_of), build=build)

    def _is_idle(
        self, con: duckdb.DuckDBPyConnection, settings: Settings, build: Build, run_id: str, quiet: timedelta
    ) -> bool:
        """Whether the window before has published already that nothing is in mind any more; then a heartbeat is."""
        parameters = load_parameters(settings)
        in_mind_s = sum(parameters[name].value for name in ("attention_window_s", "short_term_memory_duration"))
        if quiet < timedelta(seconds=in_mind_s):
            return False
        run = Run(run_id, self.stage, as_instant(self.as_of), build.params_hash)
        return publish_heartbeat(con, run, dsn=conninfo(self.target_conn_id))

    def _is_outdated(self, con: duckdb.DuckDBPyConnection, build: Build) -> bool:
        if self.agent_id or not has_other_parameters(con, self.stage, build.params_hash):
            return False
        self.log.info("the parameters have changed since this stage was built: its models are built anew")
        return True

    def _begin(self, con: duckdb.DuckDBPyConnection, build: Build, run_id: str, *, is_whole: bool) -> dict[str, Any]:
        start = begin_stage(
            con,
            self.stage,
            run_id=run_id,
            as_of=as_instant(self.as_of),
            params_hash=build.params_hash,
            agent_id=self.agent_id or None,
            full_refresh=is_whole,
        )
        if start.status != "ready":
            if self.has_dag():
                _skip_at_once(self.get_flat_relative_ids(upstream=False))
            raise AirflowSkipException(start.message)
        self.log.info("%s", start.message)
        return {"as_of": start.as_of.isoformat(), "agents": start.agents, "sequence": start.sequence}


def _skip_at_once(task_ids: set[str]) -> None:
    """Skip what follows a task that is skipped itself; by their trigger rules, one after the other, it takes 3 s.

    `DownstreamTasksSkipped` sends the same message, but ends the task as a success.
    """
    task_runner.SUPERVISOR_COMMS.send(SkipDownstreamTasks(tasks=sorted(task_ids)))
