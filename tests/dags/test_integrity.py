"""The DAG files as Airflow reads them."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import ParamValidationError
from biomem.settings import load_settings
from biomem.warehouse.context import STAGES

if TYPE_CHECKING:
    from airflow.sdk import DAG, BaseOperator

NIGHT = datetime(2026, 6, 1, 2, tzinfo=timezone.utc)
# whoever schedules by them relies on the names
ASSETS = {
    "short_term_memory": "memory/short_term",
    "consolidation": "memory/long_term",
    "nightly_decay": "memory/retention",
    "weekly_homeostasis": "memory/semantic_network",
}
SCHEDULES = {
    "short_term_memory": timedelta(seconds=30),
    "consolidation": timedelta(minutes=90),
    "nightly_decay": "0 2 * * *",
    "weekly_homeostasis": "0 3 * * 0",
}


def models_of(manifest: dict[str, Any]) -> dict[str, list[str]]:
    return {
        node["name"]: [tag for tag in node["tags"] if tag in STAGES]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
    }


def views_of(manifest: dict[str, Any]) -> set[str]:
    return {
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["config"]["materialized"] == "view"
    }


def test_no_model_has_a_named_index(manifest: dict[str, Any]) -> None:
    # dbt asks duckdb_indexes() before it swaps a table, which fails while another thread renames an indexed one
    assert [node["name"] for node in manifest["nodes"].values() if node["config"].get("indexes")] == []


def test_there_are_exactly_the_four_rhythms(dags: dict[str, DAG]) -> None:
    assert set(dags) == set(STAGES)


def test_a_window_is_late_a_minute_after_it_was_due(dags: dict[str, DAG]) -> None:
    (alert,) = dags["short_term_memory"].deadline
    assert alert.interval == timedelta(seconds=30 + 60)
    assert alert.callback.path == "biomem_airflow.alerts.tell_late_window"


def test_every_file_in_dags_is_read(all_dags: dict[str, DAG]) -> None:
    files = {path.name for path in load_settings().dags_dir.glob("*.py")}
    read = {dag.fileloc.rsplit("/", 1)[-1] for dag in all_dags.values()}
    assert read == files, f"these files hold no DAG that Airflow sees: {files - read}"


@pytest.mark.parametrize("dag_id", STAGES)
class TestEveryRhythm:
    def test_keeps_its_schedule(self, dags: dict[str, DAG], dag_id: str) -> None:
        timetable = dags[dag_id].timetable
        assert (getattr(timetable, "delta", None) or timetable.expression) == SCHEDULES[dag_id]

    def test_never_runs_twice_at_once_nor_for_the_past(self, dags: dict[str, DAG], dag_id: str) -> None:
        assert dags[dag_id].max_active_runs == 1
        assert dags[dag_id].catchup is False

    def test_tells_the_person_on_call_what_it_does(self, dags: dict[str, DAG], dag_id: str) -> None:
        text = dags[dag_id].doc_md or ""
        assert text.lstrip().startswith("### "), "the docstring is the documentation shown in the UI"
        assert "**Danger:**" in text
        example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
        assert example, "an example config is missing"
        assert set(json.loads(example[1])) == set(dags[dag_id].params)

    def test_is_tagged_and_named_and_leads_to_the_page(self, dags: dict[str, DAG], dag_id: str) -> None:
        dag = dags[dag_id]
        assert "memory" in dag.tags
        assert dag.dag_display_name != dag_id
        assert dag.owner_links["memory"].endswith("/plugin/memory/biomem/#/now")
        assert {task.owner for task in dag.tasks} == {"memory"}
        assert [link.name for link in dag.get_task("publish").operator_extra_links] == ["Memory"]

    def test_its_task_group_is_named_after_the_stage_and_its_asset_keeps_its_name(
        self, dags: dict[str, DAG], dag_id: str
    ) -> None:
        dag = dags[dag_id]
        assert dag_id in dag.task_group.children
        assert [asset.name for asset in dag.get_task("publish").outlets] == [ASSETS[dag_id]]

    def test_has_a_form_that_explains_itself(self, dags: dict[str, DAG], dag_id: str) -> None:
        params = dags[dag_id].params
        assert set(params) == {"as_of", "agent_id", "full_refresh"}
        for name in params:
            param = params.get_param(name)
            assert param.schema.get("title"), f"{name} has no title"
            assert param.description, f"{name} has no description"
            assert param.schema.get("type"), f"{name} has no type"

    def test_refuses_a_config_of_the_wrong_type(self, dags: dict[str, DAG], dag_id: str) -> None:
        as_of = dags[dag_id].params.get_param("as_of")
        with pytest.raises(ParamValidationError, match="5 is not of type"):
            as_of.resolve(5)

    def test_has_no_cycle(self, dags: dict[str, DAG], dag_id: str) -> None:
        dags[dag_id].check_cycle()

    def test_every_task_waits_for_a_slot(self, dags: dict[str, DAG], dag_id: str) -> None:
        loose = [task.task_id for task in dags[dag_id].tasks if task.pool != "duckdb_writer" or task.pool_slots != 1]
        assert not loose, f"DuckDB takes one writing process; put these tasks in pool duckdb_writer: {loose}"

    def test_no_task_can_hold_the_slot_for_ever(self, dags: dict[str, DAG], dag_id: str) -> None:
        endless = [task.task_id for task in dags[dag_id].tasks if not task.execution_timeout]
        assert not endless, f"give these tasks an execution_timeout: {endless}"
        assert all(task.execution_timeout <= timedelta(hours=1) for task in dags[dag_id].tasks)

    def test_every_task_is_tried_again(self, dags: dict[str, DAG], dag_id: str) -> None:
        once = [task.task_id for task in dags[dag_id].tasks if task.retries < 1]
        assert not once, f"these tasks are not retried: {once}"

    def test_a_window_goes_before_everything_else(self, dags: dict[str, DAG], dag_id: str) -> None:
        weights = {task.priority_weight for task in dags[dag_id].tasks}
        assert weights == {100 if dag_id == "short_term_memory" else 10 if dag_id == "consolidation" else 1}
        assert all(str(task.weight_rule).lower().find("absolute") >= 0 for task in dags[dag_id].tasks)

    def test_leaving_a_view_or_the_tests_out_hurries_nothing_that_comes_after(
        self, dags: dict[str, DAG], dag_id: str, manifest: dict[str, Any]
    ) -> None:
        views = views_of(manifest)
        dag = dags[dag_id]
        for task in dag.tasks:
            for left_out in task.upstream_task_ids & (views | {"test"}):
                hurried = dag.get_task(left_out).upstream_task_ids - task.upstream_task_ids
                assert not hurried, f"{task.task_id} must wait for {hurried} also when {left_out} is left out"

    def test_the_tables_that_a_window_leaves_out_all_together_are_all_of_its_tables(
        self, dags: dict[str, DAG], dag_id: str, manifest: dict[str, Any]
    ) -> None:
        tables = {name for name, stages in models_of(manifest).items() if dag_id in stages} - views_of(manifest)
        together = {task.task_id for task in dags[dag_id].tasks if getattr(task, "may_be_left_out", None) is False}
        assert together == tables

    def test_publishes_last_and_only_what_has_passed_its_tests(self, dags: dict[str, DAG], dag_id: str) -> None:
        dag = dags[dag_id]
        assert {task.task_id for task in dag.leaves} - {"all_pulled"} == {"publish"}
        assert {"begin", "test"} <= dag.get_task("publish").upstream_task_ids
        late = [task.task_id for task in dag.tasks if "begin" in task.get_flat_relative_ids(upstream=True)]
        assert dag.get_task("begin").downstream_task_ids == set(late), "what begin leaves out keeps nothing else back"
        assert {dag.get_task(task_id).trigger_rule for task_id in late} == {"none_failed_min_one_success"}


def test_every_source_is_pulled_by_a_task_of_its_own_and_one_that_is_down_does_not_keep_the_others(
    dags: dict[str, DAG],
) -> None:
    dag = dags["short_term_memory"]
    pull = dag.get_task("pull_memories")
    assert pull.is_mapped
    assert pull.map_index_template == "{{ task.source_name }}"
    assert (pull.retries, pull.retry_exponential_backoff) == (2, 2)
    assert dag.get_task("begin").trigger_rule == "all_done_min_one_success"
    assert dag.get_task("all_pulled").upstream_task_ids == {"pull_memories"}, "it is what fails the run"


def test_every_model_is_exactly_one_task(dags: dict[str, DAG], manifest: dict[str, Any]) -> None:
    tasks = [(dag_id, task.task_id) for dag_id, dag in dags.items() for task in dag.tasks]
    for model, stages in models_of(manifest).items():
        assert len(stages) == 1, f"{model} must carry the tag of exactly one stage, it carries {stages}"
        assert [dag_id for dag_id, task_id in tasks if task_id == model] == stages, model


def test_a_task_is_a_model_or_one_of_few(dags: dict[str, DAG], manifest: dict[str, Any]) -> None:
    models = models_of(manifest)
    others = {task.task_id for dag in dags.values() for task in dag.tasks} - set(models)
    assert others == {"pull_memories", "all_pulled", "begin", "test", "publish"}


def test_the_models_of_a_window_have_nothing_to_render(dags: dict[str, DAG], manifest: dict[str, Any]) -> None:
    for model, (stage,) in models_of(manifest).items():
        task = dags[stage].task_dict[model]
        rendered = type(task).template_fields
        assert {"env", "select", "dbt_cmd_flags", "compiled_sql"} <= set(rendered)
        assert "{{" not in json.dumps([getattr(task, field) for field in rendered], default=str)
        assert task.template_fields == (() if stage == "short_term_memory" else rendered)


def test_models_run_in_the_order_of_their_references(dags: dict[str, DAG], manifest: dict[str, Any]) -> None:
    names = {key: node["name"] for key, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    stage_of = {name: stages[0] for name, stages in models_of(manifest).items()}
    for key, name in names.items():
        task: BaseOperator = dags[stage_of[name]].get_task(name)
        for parent in manifest["nodes"][key]["depends_on"]["nodes"]:
            if parent in names and stage_of[names[parent]] == stage_of[name]:
                assert names[parent] in task.upstream_task_ids, f"{name} must wait for {names[parent]}"


def test_no_dag_changes_from_parse_to_parse(all_dags: dict[str, DAG]) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import DagSerialization

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API__BASE_URL", "http://localhost:8080")
        again = DagBag(dag_folder=str(load_settings().dags_dir)).dags
    for dag_id, dag in all_dags.items():
        first, second = (SerializedDagModel.hash(DagSerialization.to_dict(one)) for one in (dag, again[dag_id]))
        assert first == second, f"{dag_id} would get a new version at every parse"


@pytest.mark.parametrize(
    ("context", "as_of"),
    [
        ({"params": {"as_of": "2026-05-31T20:30:00Z"}, "data_interval_end": NIGHT}, "2026-05-31T20:30:00Z"),
        ({"params": {"as_of": None}, "data_interval_end": NIGHT}, "2026-06-01T02:00:00+00:00"),
        (
            {"params": {"as_of": None}, "dag_run": SimpleNamespace(run_type="manual", run_after=NIGHT)},
            "2026-06-01T02:00:00+00:00",
        ),
        (
            {
                "params": {"as_of": None},
                "dag_run": SimpleNamespace(
                    run_type="asset_triggered", run_after=NIGHT - timedelta(seconds=4), start_date=NIGHT
                ),
            },
            "2026-06-01T02:00:00+00:00",
        ),
    ],
    ids=["of the form", "of the schedule", "of the moment it was started by hand", "of its start, when woken"],
)
def test_a_run_computes_the_instant(dags: dict[str, DAG], context: dict[str, Any], as_of: str) -> None:
    for dag in dags.values():
        template = dag.get_template_env().from_string(dag.get_task("begin").as_of)
        assert template.render(context) == as_of
