"""Who gives way to whom: sleep to windows, and what needs no warehouse to everybody."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException
from biomem.settings import load_settings
from biomem.warehouse.context import STAGES
from biomem_airflow.local.supervisor import POOL, POOL_SLOTS
from biomem_airflow.operators.duckdb_to_postgres import TURN_WITHIN
from biomem_airflow.stages import PATIENCE, _ParsedProject

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG


def context(*, windows: int, waited: timedelta | None = None) -> dict[str, Any]:
    since = None if waited is None else datetime.now(timezone.utc) - waited
    return {
        "ti": SimpleNamespace(
            get_dr_count=lambda dag_id, states: windows if dag_id == "short_term_memory" and "running" in states else 0,
            get_first_reschedule_date=lambda context: since,
        )
    }


@pytest.mark.parametrize("task_id", ["memory_replay", "test"])
class TestATaskOfASleepingStage:
    def test_leaves_the_slot_to_a_window_under_way(self, dags: dict[str, DAG], task_id: str) -> None:
        task = dags["consolidation"].task_dict[task_id]
        for waited in (None, PATIENCE / 2):
            with pytest.raises(AirflowRescheduleException):
                task._let_windows_pass(context(windows=1, waited=waited))

    def test_works_when_no_window_is_under_way_or_it_has_waited_long_enough(
        self, dags: dict[str, DAG], task_id: str
    ) -> None:
        task = dags["consolidation"].task_dict[task_id]
        task._let_windows_pass(context(windows=0))
        task._let_windows_pass(context(windows=1, waited=PATIENCE))


def test_a_model_of_a_window_gives_way_to_nobody(dags: dict[str, DAG]) -> None:
    dags["short_term_memory"].task_dict["memory_traces"]._let_windows_pass(context(windows=1))


@pytest.mark.parametrize("stage", STAGES[1:])
def test_sleep_leaves_a_slot_to_windows(dags: dict[str, DAG], stage: str) -> None:
    assert dags[stage].max_active_tasks == 1
    assert POOL_SLOTS > 1
    container = (load_settings().dbt_dir.parent / "docker" / "init.sh").read_text()
    assert f"airflow pools set {POOL} {POOL_SLOTS} " in container


def test_publications_of_sleep_compare_one_after_the_other_and_leave_a_slot_to_windows(dags: dict[str, DAG]) -> None:
    def publish(stage: str, *, beside: str, waited: timedelta | None = None) -> None:
        ti = context(windows=0, waited=waited)["ti"]
        ti.get_dr_count = lambda dag_id, states: int(dag_id == beside and "running" in states)
        dags[stage].task_dict["publish"]._await_turn({"ti": ti})

    for waited in (None, TURN_WITHIN / 2):
        with pytest.raises(AirflowRescheduleException):
            publish("weekly_homeostasis", beside="consolidation", waited=waited)
    publish("weekly_homeostasis", beside="consolidation", waited=TURN_WITHIN)
    publish("consolidation", beside="weekly_homeostasis")
    publish("weekly_homeostasis", beside="short_term_memory")


def test_vectors_follow_a_published_window_and_take_no_slot(all_dags: dict[str, DAG]) -> None:
    dag = all_dags["embeddings"]
    assert dag.max_active_runs == 1
    assert [Asset("memory/short_term")] == list(dag.timetable.asset_condition.objects)
    assert {task.pool for task in dag.tasks} == {"default_pool"}


def test_a_model_that_fails_skips_its_task_with_the_reason(
    all_dags: dict[str, DAG], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOMEM_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_MEMORY_TARGET", "postgres://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(AirflowSkipException, match="words alone"):
        all_dags["embeddings"].task_dict["embed"].execute({})


class TestAModelThatIsComputedInSlices:
    """Without its runs of dbt: what they compute is tested with a real one in integration/dbt/test_slices.py."""

    @pytest.fixture
    def task(self, dags: dict[str, DAG], monkeypatch: pytest.MonkeyPatch) -> Any:
        task = dags["consolidation"].task_dict["memory_replay"]
        assert task.memories_at_once
        self.ends = iter([False, False, True])
        monkeypatch.setattr(task, "_run_once", lambda *args, **options: (None, next(self.ends)))
        return task

    def test_gives_the_slot_back_after_a_slice_while_a_window_is_under_way(self, task: Any) -> None:
        for _ in range(2):
            with pytest.raises(AirflowRescheduleException):
                task.run_command([], {}, context(windows=1, waited=PATIENCE))
        task.run_command([], {}, context(windows=1, waited=PATIENCE))
        assert list(self.ends) == []

    def test_goes_on_with_the_next_slice_when_none_is(self, task: Any) -> None:
        task.run_command([], {}, context(windows=0))
        assert list(self.ends) == []


@pytest.mark.parametrize(
    ("stage", "selected"),
    [
        ("nightly_decay", ["memory_health", "memory_ledger", "memory_retention"]),
        ("short_term_memory", ["tag:short_term_memory"]),
    ],
)
def test_the_data_tests_of_sleep_are_run_model_by_model_and_those_of_a_window_at_once(
    dags: dict[str, DAG], monkeypatch: pytest.MonkeyPatch, stage: str, selected: list[str]
) -> None:
    commands = []
    monkeypatch.setattr(
        _ParsedProject, "_run_once", lambda self, settings, cmd, *args, **options: (commands.append(cmd), True)
    )
    task = dags[stage].task_dict["test"]
    task.run_command(["dbt", "test", "--select", *task.select], {}, context(windows=0))
    assert [command[3] for command in commands] == selected
