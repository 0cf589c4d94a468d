"""The dbt models of one stage as Airflow tasks, one task a model. The only module that talks to Cosmos."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import DAG, BaseOperator, TaskGroup
from airflow.sdk.exceptions import AirflowRescheduleException
from biomem import watchdog
from biomem.parameters import dbt_arguments, load_parameters
from biomem.settings import Settings, load_settings
from biomem.warehouse import transform
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import AWAKE, STAGES, is_whole_run, takes_long
from biomem.warehouse.slices import begin_slice, end_slice
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos import settings as cosmos_settings
from cosmos.constants import DbtResourceType, ExecutionMode, InvocationMode, LoadMode, TestBehavior
from cosmos.dbt.runner import get_runner
from cosmos.operators.local import AbstractDbtLocalBase, DbtRunLocalOperator, DbtTestLocalOperator

from biomem_airflow.dag_defaults import TESTS, UNLESS_FAILED
from biomem_airflow.dbt_run import before_nodes, refresh_fully
from biomem_airflow.operators.run_facts import is_under_way
from biomem_airflow.preload import parsed_manifest

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import duckdb
    from airflow.sdk import Context
    from cosmos.dbt.graph import DbtNode
    from cosmos.hooks.subprocess import FullOutputSubprocessResult
    from dbt.cli.main import dbtRunnerResult

MODELS = "models"
PROFILE = "biological_memory"
TARGET = "dev"
# As `biomem rebuild` runs dbt (to list all relations beforehand costs each task .03 s), and without its second log: the
# task's own says it.
FLAGS = [*transform.FLAGS, "--log-level-file", "none"]
# The project is as the scheduler has parsed it: a table stands as the run's begin has found it (macro incremental).
SHORT_WAY = {"BIOMEM_SHORT_WAY": "yes"}
# how often a model of a sleeping stage asks whether the window under way is over, and for how long it lets windows pass
LOOK_AGAIN_AFTER = timedelta(seconds=3)
PATIENCE = timedelta(seconds=20)


class _ParsedProject(AbstractDbtLocalBase):  # type: ignore[misc]
    """Runs dbt on the project as the scheduler parsed it: no task copies it or reads it again (a second of CPU each).

    Without that parse, or after a change of the project, Cosmos does what it always does. The warehouse is opened when
    dbt has prepared its run, so that another task can have it until then, and stays open to the end: dbt would open
    and close the file six times a model.
    """

    def run_command(
        self,
        cmd: list[str],
        env: dict[str, str | bytes | os.PathLike[Any]],
        context: Context,
        **kwargs: Any,
    ) -> FullOutputSubprocessResult | dbtRunnerResult | str:
        settings = load_settings()
        # as dbt would have them checked by its hook, which takes ten times as long
        load_parameters(settings)
        cmd = [*cmd, *dbt_arguments(settings)]
        if parsed_manifest() is not None:
            self._let_windows_pass(context)
        while True:
            result, is_done = self._run_once(settings, cmd, env, context, **kwargs)
            if is_done:
                return result
            if self._is_awaited(context):
                self._give_way()

    def _run_once(
        self,
        settings: Settings,
        cmd: list[str],
        env: dict[str, str | bytes | os.PathLike[Any]],
        context: Context,
        **kwargs: Any,
    ) -> tuple[FullOutputSubprocessResult | dbtRunnerResult | str, bool]:
        """One run of dbt, for as long as which the warehouse is held; and whether it was the task's last."""
        parsed = get_runner().manifest = parsed_manifest()
        if parsed is None:
            with open_warehouse(settings, purpose=f"task {self.task_id}") as con:
                cmd = [*cmd, *(["--full-refresh"] if self._is_anew(con) else [])]
            result = super().run_command(cmd, env, context, **kwargs)
            with open_warehouse(settings, purpose=f"task {self.task_id}") as con:
                return result, self._is_done(con)
        flags = self._generate_dbt_flags(self.project_dir, self.profile_config.profiles_yml_filepath)
        with tempfile.TemporaryDirectory() as scratch:
            paths = ["--target-path", f"{scratch}/target", "--log-path", f"{scratch}/logs"]
            with ExitStack() as opened:
                con: duckdb.DuckDBPyConnection

                def open_it() -> None:
                    nonlocal con
                    con = opened.enter_context(open_warehouse(settings, purpose=f"task {self.task_id}"))
                    if self._is_anew(con):
                        refresh_fully()

                opened.enter_context(before_nodes(open_it))
                result = self.invoke_dbt(
                    command=[*cmd, *flags, *paths],
                    env={**{name: str(value) for name, value in env.items()}, **SHORT_WAY},
                    cwd=self.project_dir,
                    context=context,
                )
                is_done = not result.success or self._is_done(con)
            # shows in the UI what was run
            self._handle_post_execution(scratch, context)
        self.handle_exception(result)
        return result, is_done

    def _is_anew(self, con: duckdb.DuckDBPyConnection) -> bool:
        """Whether the run that the stage is in builds anew what this task builds."""
        if takes_long(con, self.dag_id):
            watchdog.relax()
        return False

    def _is_done(self, con: duckdb.DuckDBPyConnection) -> bool:
        """Whether nothing is left to compute, after a run of dbt that went well."""
        return True

    def _let_windows_pass(self, context: Context) -> None:
        """Between two tasks of a window the scheduler gives the slot to whoever waits; such a task gives it back here.

        Not for longer than `PATIENCE`: where windows follow one another without a pause, sleep must come too.
        """
        if self._is_awaited(context):
            now = datetime.now(timezone.utc)
            if now - (context["ti"].get_first_reschedule_date(context) or now) < PATIENCE:
                self._give_way()

    def _is_awaited(self, context: Context) -> bool:
        """Whether a window is under way, and this is none of its tasks."""
        return self.dag_id != AWAKE and is_under_way(context, AWAKE)

    def _give_way(self) -> NoReturn:
        """Give the slot back; a window goes before whatever else waits for it."""
        self.log.info("leaving the warehouse to the window that is under way")
        raise AirflowRescheduleException(datetime.now(timezone.utc) + LOOK_AGAIN_AFTER)


class RunModelOperator(_ParsedProject, DbtRunLocalOperator):  # type: ignore[misc]
    """Build one dbt model, `memories_at_once` in slices of agents where all would hold the slot for long.

    A view may be left out by itself where it stands already; tables only all together (see BeginStageOperator).
    """

    def __init__(self, *, may_be_left_out: bool, memories_at_once: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.may_be_left_out = may_be_left_out
        self.memories_at_once = memories_at_once
        if not self.should_store_compiled_sql:
            # nothing in them is a template; to show them in the UI is a request before the model
            self.template_fields = ()

    def _is_anew(self, con: duckdb.DuckDBPyConnection) -> bool:
        if self.memories_at_once:
            begin_slice(con, self.dag_id, self.task_id, memories=self.memories_at_once)
        # dbt's own full refresh is for all agents; for one agent, the run's clock makes its memories new instead
        return super()._is_anew(con) or is_whole_run(con, self.dag_id)

    def _is_done(self, con: duckdb.DuckDBPyConnection) -> bool:
        return self.memories_at_once is None or end_slice(con, self.task_id)


class TestModelsOperator(_ParsedProject, DbtTestLocalOperator):  # type: ignore[misc]
    """Run the data tests of a stage's models; left out when they passed lately.

    With `one_by_one`, the names of its models, those of one after the other: in between, a window can have the
    warehouse.
    """

    may_be_left_out = True

    def __init__(self, *, one_by_one: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.one_by_one = one_by_one

    def _run_once(self, settings: Settings, cmd: list[str], *args: Any, **kwargs: Any) -> Any:
        each = [[name if part in self.select else part for part in cmd] for name in self.one_by_one]
        results = [super(TestModelsOperator, self)._run_once(settings, one, *args, **kwargs) for one in each or [cmd]]
        return results[-1]


def dbt_variables(settings: Settings) -> dict[str, str]:
    """Return what profiles.yml reads from the environment."""
    return {
        "BIOMEM_WAREHOUSE": str(settings.warehouse_path),
        "BIOMEM_MAX_MEMORY": settings.max_memory,
        "BIOMEM_THREADS": str(settings.threads),
    }


def parse_caches() -> list[Path]:
    """Return the folders in which the stages' tasks look for the parsed project; parsing anew takes seconds a task."""
    return [_parse_cache(f"{stage}__{group}") for stage in STAGES for group in (MODELS, "test")]


def memory_stage(stage: str, *, begin: BaseOperator, publish: BaseOperator) -> TaskGroup:
    """Render the models tagged `stage` in the order of their references, and after them one task with their tests.

    Every task also follows `begin` itself, and what comes before a task that may be left out: leaving it out neither
    keeps back nor hurries what comes after.

    The tests are a task of their own so that no model's task id changes when it gains a test; a failing test stops
    what follows the stage. Unit tests are left out: they test the code, not the data.
    """
    settings = load_settings()
    dbt_dir = settings.dbt_dir
    profile = ProfileConfig(profile_name=PROFILE, target_name=TARGET, profiles_yml_filepath=dbt_dir / "profiles.yml")
    variables = dbt_variables(settings)
    with TaskGroup(stage, prefix_group_id=False) as whole:
        models = DbtTaskGroup(
            group_id=MODELS,
            prefix_group_id=False,
            project_config=ProjectConfig(
                dbt_project_path=dbt_dir,
                manifest_path=settings.manifest_path,
                install_dbt_deps=False,
                partial_parse=True,
                env_vars=variables,
            ),
            profile_config=profile,
            execution_config=ExecutionConfig(
                execution_mode=ExecutionMode.LOCAL, invocation_mode=InvocationMode.DBT_RUNNER
            ),
            # Cosmos' own Assets would hold an absolute path; the DAG files name theirs
            render_config=RenderConfig(
                load_method=LoadMode.DBT_MANIFEST,
                select=[f"tag:{stage}"],
                test_behavior=TestBehavior.NONE,
                emit_datasets=False,
                normalize_task_id=lambda node: node.name,
                node_converters={DbtResourceType.MODEL: _run_model},
            ),
            operator_args={
                "append_env": True,
                "dbt_cmd_flags": FLAGS,
                # a window runs the same SQL 2,880 times a day: the UI has no copy of it, which saves a request a task
                "should_store_compiled_sql": stage != AWAKE,
                "trigger_rule": UNLESS_FAILED,
            },
        )
        tests = TestModelsOperator(
            task_id=TESTS,
            trigger_rule=UNLESS_FAILED,
            project_dir=str(dbt_dir),
            profile_config=profile,
            invocation_mode=InvocationMode.DBT_RUNNER,
            select=[f"tag:{stage}"],
            exclude=["test_type:unit"],
            cache_dir=_parse_cache(f"{stage}__test"),
            emit_datasets=False,
            env=variables,
            append_env=True,
            install_deps=False,
            dbt_cmd_flags=FLAGS,
            should_store_compiled_sql=stage != AWAKE,
            one_by_one=[] if stage == AWAKE else sorted(task.task_id for task in models.iter_tasks()),
        )
        models >> tests
    tests >> publish
    for task in (*whole.iter_tasks(), publish):
        before = {begin.task_id: begin, **_before(task)}
        task.set_upstream([each for task_id, each in before.items() if task_id not in task.upstream_task_ids])
    return whole


def _before(task: BaseOperator) -> dict[str, BaseOperator]:
    """What `task` comes after; where it comes after a task that may be left out, also what that comes after."""
    found = {}
    for each in task.upstream_list:
        found[each.task_id] = each
        if getattr(each, "may_be_left_out", False):
            found.update(_before(each))
    return found


def _run_model(
    *, node: DbtNode, dag: DAG, task_group: TaskGroup, task_id: str, task_args: dict[str, Any], **_: Any
) -> RunModelOperator:
    return RunModelOperator(
        may_be_left_out=node.config.get("materialized") == "view",
        memories_at_once=node.config.get("meta", {}).get("memories_at_once"),
        task_id=task_id,
        dag=dag,
        task_group=task_group,
        select=f"fqn:{'.'.join(node.fqn)}",
        extra_context={"dbt_node_config": node.context_dict, "package_name": node.package_name},
        **task_args,
    )


def _parse_cache(name: str) -> Path:
    return Path(cosmos_settings.cache_dir) / name
