"""The DAGs that people start by hand: their forms, and what they refuse."""

from __future__ import annotations

import copy
import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import ParamValidationError
from biomem.errors import ConfigurationError
from biomem.settings import load_settings
from biomem.warehouse.context import STAGES
from biomem_airflow.forms import question_of

if TYPE_CHECKING:
    from airflow.sdk import DAG

MANUAL = ("what_if", "rebuild_memory", "backfill_source", "forget_hard")
# these touch nothing but copies, or wait for a person
WITHOUT_THE_SLOT = {"try_parameters", "approve"}


def resolve(dag: DAG, name: str, *value: Any) -> Any:
    """What the form makes of a value; a copy of the field, for a field remembers it."""
    return copy.deepcopy(dag.params.get_param(name)).resolve(*value)


def test_there_are_the_four_rhythms_what_follows_them_and_what_people_start_by_hand(all_dags: dict[str, DAG]) -> None:
    assert set(all_dags) == {*STAGES, "embeddings", "housekeeping", *MANUAL}


@pytest.mark.parametrize("dag_id", MANUAL)
class TestEveryManualDag:
    def test_runs_when_somebody_starts_it_and_never_by_itself(self, all_dags: dict[str, DAG], dag_id: str) -> None:
        assert all_dags[dag_id].schedule is None
        assert all_dags[dag_id].catchup is False

    def test_explains_itself(self, all_dags: dict[str, DAG], dag_id: str) -> None:
        dag = all_dags[dag_id]
        text = dag.doc_md or ""
        assert text.lstrip().startswith("### ")
        assert "**Danger:**" in text
        assert dag.dag_display_name != dag_id
        assert {"memory", "by hand"} <= set(dag.tags)
        assert dag.owner_links["memory"].endswith("/plugin/memory/biomem/#/now")
        assert {task.owner for task in dag.tasks} == {"memory"}

    def test_its_example_is_accepted_by_its_form(self, all_dags: dict[str, DAG], dag_id: str) -> None:
        dag = all_dags[dag_id]
        example = re.search(r"```json\n(.*?)```", dag.doc_md or "", re.DOTALL)
        assert example, "an example config is missing"
        given = json.loads(example[1])
        assert set(given) <= set(dag.params)
        for name in dag.params:
            resolve(dag, name, *([given[name]] if name in given else []))

    def test_every_field_has_a_title_a_description_and_a_type(self, all_dags: dict[str, DAG], dag_id: str) -> None:
        params = all_dags[dag_id].params
        for name in params:
            param = params.get_param(name)
            assert param.schema.get("title"), f"{name} has no title"
            assert len(param.description or "") > 20, f"{name} has no description"
            assert param.schema.get("type"), f"{name} has no type"

    def test_who_writes_the_warehouse_waits_for_the_one_slot(self, all_dags: dict[str, DAG], dag_id: str) -> None:
        for task in all_dags[dag_id].tasks:
            assert task.pool == ("default_pool" if task.task_id in WITHOUT_THE_SLOT else "duckdb_writer"), task.task_id
            assert task.priority_weight < 10, "windows and cycles go first"

    def test_no_task_works_for_ever(self, all_dags: dict[str, DAG], dag_id: str) -> None:
        for task in all_dags[dag_id].tasks:
            limit = task.response_timeout if task.task_id == "approve" else task.execution_timeout
            assert limit, task.task_id
            assert limit <= timedelta(days=1)


@pytest.mark.parametrize(
    ("dag_id", "name", "value", "said"),
    [
        ("what_if", "decay", 0.01, "less than the minimum of 0.1"),
        ("what_if", "forgetting_threshold", 3, "greater than the maximum of 0.95"),
        ("what_if", "working_memory_capacity", 2.5, "not of type 'null', 'integer'"),
        ("rebuild_memory", "layer", "dreams", "is not one of"),
        ("forget_hard", "ids", [], "should be non-empty"),
        ("forget_hard", "reason", "", "is too short|non-empty"),
    ],
)
def test_a_value_that_cannot_be_is_refused_before_anything_runs(
    all_dags: dict[str, DAG], dag_id: str, name: str, value: Any, said: str
) -> None:
    with pytest.raises(ParamValidationError, match=said):
        resolve(all_dags[dag_id], name, value)


def test_the_memories_to_forget_and_the_reason_must_be_given(all_dags: dict[str, DAG]) -> None:
    for name in ("ids", "reason"):
        with pytest.raises(ParamValidationError, match="No value"):
            resolve(all_dags["forget_hard"], name)


def test_a_form_is_turned_into_a_question(all_dags: dict[str, DAG]) -> None:
    form = {**all_dags["what_if"].params.dump(), "decay": 0.11, "working_memory_capacity": 5}
    form |= {"other_parameters": {"merge_repeats": False}, "since": "2026-05-01T00:00:00Z"}
    question = question_of(form, load_settings())
    assert set(question.parameters) == {"fsrs_weights", "working_memory_capacity", "merge_repeats"}
    assert question.parameters["fsrs_weights"][20] == 0.11
    assert len(question.parameters["fsrs_weights"]) == 21
    assert question.since is not None
    assert (question.agent_id, question.as_of) == (None, None)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"decay": 0.11, "other_parameters": {"fsrs_weights": []}}, "give one of the two"),
        ({"decay": 0.11, "as_of": "yesterday"}, "'yesterday' is no instant; write it as 2026-05-31T20:30:00Z"),
        ({"forgetting_threshold": 0.5, "other_parameters": {"forgetting_threshold": 0.7}}, "give it once"),
    ],
)
def test_a_form_that_contradicts_itself_is_refused(form: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        question_of(form, load_settings())
