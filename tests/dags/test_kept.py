"""What a forked task takes over from the scheduler instead of loading it again."""

from __future__ import annotations

import importlib
import io
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from airflow.dag_processing import dagbag
from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.transform import run_models
from biomem_airflow import kept

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagbag, "BundleDagBag", dagbag.BundleDagBag)


def test_a_task_gets_the_dag_as_the_scheduler_read_it_until_a_file_behind_it_is_written(
    tmp_path: Path, restored: None
) -> None:
    settings = load_settings(home=tmp_path)

    def read(name: str) -> DAG:
        bag = dagbag.BundleDagBag(
            dag_folder=str(settings.dags_dir / f"{name}.py"),
            safe_mode=False,
            load_op_links=False,
            bundle_path=settings.dags_dir,
            bundle_name="dags-folder",
        )
        assert list(bag.dags) == [name]
        return bag.dags[name]

    kept.keep_dags(settings)
    assert read("housekeeping") is read("housekeeping")
    assert read("short_term_memory") is read("short_term_memory")
    before = read("housekeeping")
    settings.mapping_path.write_text("sources: []\n")
    assert read("housekeeping") is not before


def test_dbt_loads_once_for_the_same_arguments_and_again_after_a_change(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    loads: list[dict[str, Any]] = []

    def load(project: str, variables: dict[str, Any]) -> dict[str, Any]:
        loads.append({"project": project, **variables})
        return loads[-1]

    once = kept._once(load, settings)
    first = once("dbt", {"night_hour": 3})
    assert once("dbt", {"night_hour": 3}) is first
    assert once("dbt", {"night_hour": 4}) == {"project": "dbt", "night_hour": 4}
    settings.parameters_path.write_text("in_force: {}\n")
    assert once("dbt", {"night_hour": 3}) is not first
    os.utime(settings.parameters_path, ns=(1, 1))
    assert once("dbt", {"night_hour": 3}) is not first
    assert len(loads) == 4


def test_no_table_has_a_key_for_which_dbt_would_have_to_look() -> None:
    models = load_settings().dbt_dir / "models"
    described = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in models.rglob("*.yml")]
    constraints = {
        constraint["type"]
        for each in described
        for model in each.get("models", [])
        for part in (model, *model["columns"])
        for constraint in part.get("constraints", [])
    }
    assert constraints <= {"not_null", "check"}


def test_messages_for_debugging_are_made_only_for_a_logger_that_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt_common.events.base_types import EventLevel
    from dbt_common.events.event_manager import EventManager
    from dbt_common.events.logger import LoggerConfig
    from dbt_common.events.types import Note

    monkeypatch.setattr(EventManager, "fire_event", EventManager.fire_event)
    kept.keep_unheard()

    def written(level: EventLevel) -> list[str]:
        out, heard = io.StringIO(), []
        manager = EventManager()
        manager.callbacks.append(lambda message: heard.append(message.info.msg))
        manager.add_logger(LoggerConfig(name=f"kept {level}", level=level, output_stream=out))
        for each in (EventLevel.DEBUG, EventLevel.INFO, EventLevel.ERROR):
            manager.fire_event(Note(msg=each.value), level=each)
        assert [line.split("  ")[-1] for line in out.getvalue().splitlines()] == heard
        return heard

    assert written(EventLevel.INFO) == ["info", "error"]
    assert written(EventLevel.DEBUG) == ["debug", "info", "error"]


def test_dbt_finds_the_same_relations_by_the_short_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt.adapters.duckdb.impl import DuckDBAdapter

    settings = load_settings(home=tmp_path)
    long_way, listed = DuckDBAdapter.list_relations_without_caching, []
    monkeypatch.setattr(DuckDBAdapter, "list_relations_without_caching", long_way)
    kept.keep_listing()
    short_way = DuckDBAdapter.list_relations_without_caching

    def both(self: Any, schema_relation: Any) -> list[Any]:
        listed.append((long_way(self, schema_relation), short_way(self, schema_relation)))
        return listed[-1][1]

    DuckDBAdapter.list_relations_without_caching = both
    with open_warehouse(settings) as con:
        con.execute('create schema "of \'ada\'"; create table raw."it\'s" (id int)')
    for _ in range(2):
        run_models(settings, "--select", "stg_clock", "stg_memories", "memory_salience")
    assert {len(short) for _, short in listed} > {0}
    for expected, found in listed:
        assert sorted(found, key=str) == sorted(expected, key=str)


def test_a_graph_is_drawn_once_for_a_parse_and_anew_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt.compilation import Compiler

    monkeypatch.setattr(Compiler, "compile", lambda self, manifest, add_test_edges=False: [manifest, add_test_edges])
    kept.keep_graph()
    compiler, one, other = Compiler(None), {"nodes": 1}, {"nodes": 1}
    graph = compiler.compile(one)
    assert compiler.compile(one) is graph
    assert compiler.compile(other) is not graph
    assert compiler.compile(one, add_test_edges=True) == [one, True]


def test_dbt_makes_every_schema_but_the_one_that_every_database_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt.adapters.duckdb.relation import DuckDBRelation
    from dbt.task.runnable import GraphRunnableTask

    made: list[Any] = []
    monkeypatch.setattr(GraphRunnableTask, "create_schemas", lambda self, adapter, required: made.extend(required))
    kept.keep_schema()
    main, other = (DuckDBRelation.create(database="warehouse", schema=name) for name in ("main", "other"))
    GraphRunnableTask.create_schemas(None, None, {main})  # type: ignore[arg-type]
    assert made == []
    GraphRunnableTask.create_schemas(None, None, {main, other})  # type: ignore[arg-type]
    assert made == [other]


def test_a_behavior_flag_that_names_no_source_is_the_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt_common.behavior_flags import Behavior, BehaviorFlagRendered

    monkeypatch.setattr(BehaviorFlagRendered, "_default_source", BehaviorFlagRendered._default_source)
    kept.keep_flag_source()
    behavior = Behavior([{"name": "new_way", "default": False, "description": "does it anew"}], {"new_way": True})
    assert behavior.new_way.setting is True
    assert behavior.new_way._behavior_change_event.flag_source == "dbt.adapters.base.impl"


def test_dbt_leaves_out_its_own_check_of_the_parameters_and_no_other_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt.task.run import RunTask

    project = yaml.safe_load((load_settings().dbt_dir / "dbt_project.yml").read_text())
    hooks = [SimpleNamespace(raw_code=code) for code in [*project["on-run-start"], "vacuum"]]
    monkeypatch.setattr(RunTask, "get_hooks_by_type", lambda self, hook_type: hooks)
    kept.keep_validation()
    assert [hook.raw_code for hook in RunTask.get_hooks_by_type(None, None)] == ["vacuum"]  # type: ignore[arg-type]


def test_no_listener_counts_what_is_told_to_nobody() -> None:
    from airflow.sdk.listener import get_listener_manager

    listeners = get_listener_manager().pm
    names = {each.__name__ for each in listeners.get_plugins()}
    cosmos = [each for each in listeners.get_plugins() if each.__name__.startswith("cosmos.listeners.")]
    assert cosmos, "Cosmos has moved its listeners"
    try:
        kept.keep_silent()
        left = {each.__name__ for each in listeners.get_plugins()}
    finally:
        for each in cosmos:
            if not listeners.is_registered(each):
                listeners.register(each)
    assert left == names - {each.__name__ for each in cosmos}


def test_the_projects_that_come_with_dbt_are_read_once_until_a_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.config.runtime import RuntimeConfig

    reads: list[Any] = []

    def read(self: Any, base_only: bool = False) -> dict[str, Any]:
        reads.append(self)
        return {self.project_name: self, "dbt": object()}

    settings = load_settings(home=tmp_path)
    monkeypatch.setattr(RuntimeConfig, "load_dependencies", read)
    kept.keep_dependencies(settings)

    def project() -> Any:
        return SimpleNamespace(project_name="memory", project_root="dbt", dependencies=None)

    one, other = project(), project()
    found = [RuntimeConfig.load_dependencies(each) for each in (one, one, other)]
    assert reads == [one]
    assert [each["memory"] for each in found] == [one, one, other]
    assert found[0]["dbt"] is found[2]["dbt"]
    settings.parameters_path.write_text("in_force: {}\n")
    assert RuntimeConfig.load_dependencies(project())["dbt"] is not found[0]["dbt"]


def test_a_text_becomes_code_once_for_each_kind_of_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from jinja2 import Environment
    from jinja2.sandbox import SandboxedEnvironment

    monkeypatch.setattr(Environment, "compile", Environment.compile)
    kept.keep_templates()
    text = "select {{ column }} as n"
    assert Environment().compile(text) is Environment().compile(text)
    assert Environment().compile(text) is not SandboxedEnvironment().compile(text)
    assert Environment().from_string(text).render(column=1) == "select 1 as n"
    assert Environment().from_string(text).render(column=2) == "select 2 as n"


def test_duckdb_does_not_look_for_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "PANDAS", "a_library_that_is_not_there")
    kept.keep_absent()
    try:
        assert sys.modules["a_library_that_is_not_there"] is None
    finally:
        del sys.modules["a_library_that_is_not_there"]
    monkeypatch.setattr(kept, "PANDAS", "json")
    kept.keep_absent()
    assert sys.modules["json"] is not None


def test_what_is_kept_is_still_where_dbt_looks_for_it() -> None:
    from dbt_common.clients.jinja import template_cache

    assert all(callable(getattr(importlib.import_module(module), name)) for module, name in kept.DBT_LOADERS)
    assert callable(template_cache.get_node_template)
    assert callable(importlib.import_module("sqlparse.lexer").Lexer.get_default_instance)
