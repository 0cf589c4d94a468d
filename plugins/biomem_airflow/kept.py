"""What a forked task takes over from the scheduler: the DAGs as they were read, and what dbt loads before any model.

Only for the process that forks tasks. Whatever a file has changed since is loaded as if nothing had been kept.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from biomem.settings import Settings

# where Airflow's task runner looks for the class that reads a DAG file, and dbt's command line for its loaders
DAG_BAG = ("airflow.dag_processing.dagbag", "BundleDagBag")
DBT_LOADERS = (
    ("dbt.cli.flags", "read_project_flags"),
    ("dbt.cli.requires", "load_profile"),
    ("dbt.cli.requires", "load_project"),
    ("dbt.cli.requires", "set_up_plugin_manager"),
)
PANDAS = "pandas"
# name and kind of what a schema (database, schema, and both again) has
RELATIONS = """
    select table_name, 'table' from duckdb_tables()
    where lower(database_name) = lower(?) and lower(schema_name) = lower(?)
    union all
    select view_name, 'view' from duckdb_views()
    where lower(database_name) = lower(?) and lower(schema_name) = lower(?)
"""
# the on-run-start hook of dbt_project.yml
VALIDATION = "{{ validate_parameters() }}"


def keep_dags(settings: Settings) -> None:
    """Read the DAG files and let tasks have them from memory; reading one took a task a tenth of a second."""
    module, name = importlib.import_module(DAG_BAG[0]), DAG_BAG[1]
    reader = getattr(module, name)
    read_at = _written(settings)
    kept = reader(dag_folder=str(settings.dags_dir), bundle_path=settings.dags_dir).dags

    class KeptDagBag(reader):  # type: ignore[misc, valid-type]
        def collect_dags(self, dag_folder: str | Path | None = None, **options: Any) -> None:
            found = {dag_id: dag for dag_id, dag in kept.items() if dag.fileloc == str(dag_folder)}
            if found and _written(settings) == read_at:
                self.dags = found
            else:
                super().collect_dags(dag_folder, **options)

    setattr(module, name, KeptDagBag)


def keep_dbt_loads(settings: Settings) -> None:
    """Let dbt load project, profile and plugins once for the same arguments; they took a task .13 s of CPU."""
    for module_name, name in DBT_LOADERS:
        module = importlib.import_module(module_name)
        setattr(module, name, _once(getattr(module, name), settings))


def keep_dependencies(settings: Settings) -> None:
    """Let dbt read the projects that come with it once; each task read and checked them again, .03 s of CPU."""
    config = importlib.import_module("dbt.config.runtime").RuntimeConfig
    load = config.load_dependencies
    loaded: dict[Any, dict[str, Any]] = {}

    def load_once(self: Any, base_only: bool = False) -> dict[str, Any]:
        if self.dependencies is None:
            key = (self.project_root, base_only, _written(settings))
            if key not in loaded:
                loaded[key] = {name: each for name, each in load(self, base_only).items() if each is not self}
            self.dependencies = {self.project_name: self, **loaded[key]}
        return dict(self.dependencies)

    config.load_dependencies = load_once


def keep_templates() -> None:
    """Let Jinja turn the same text of a model into code once for each kind of environment."""
    environment = importlib.import_module("jinja2.environment").Environment
    compile_source = environment.compile
    compiled: dict[Any, Any] = {}

    def compile_once(self: Any, source: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(source, str):
            return compile_source(self, source, *args, **options)
        key = (type(self), source, args, tuple(sorted(options.items())))
        if key not in compiled:
            compiled[key] = compile_source(self, source, *args, **options)
        return compiled[key]

    environment.compile = compile_once


def keep_graph() -> None:
    """Let dbt draw the graph of a project's nodes once for each parse that it is given."""
    compiler = importlib.import_module("dbt.compilation").Compiler
    draw = compiler.compile
    drawn: list[tuple[Any, dict[str, Any], Any]] = []

    def draw_once(self: Any, manifest: Any, **options: Any) -> Any:
        for of, how, graph in drawn:
            if of is manifest and how == options:
                return graph
        drawn.append((manifest, options, draw(self, manifest, **options)))
        return drawn[-1][2]

    compiler.compile = draw_once


def keep_schema() -> None:
    """Let dbt look for schemas other than `main` only: every DuckDB database has that. Looking took a task .07 s."""
    runs = importlib.import_module("dbt.task.runnable").GraphRunnableTask
    create = runs.create_schemas

    def create_others(self: Any, adapter: Any, required_schemas: set[Any]) -> None:
        others = {schema for schema in required_schemas if schema.schema != "main"}
        if others:
            create(self, adapter, others)

    runs.create_schemas = create_others


def keep_flag_source() -> None:
    """Name the adapter as the source of its behavior flags; to find that out, dbt went through all modules twice."""
    flag = importlib.import_module("dbt_common.behavior_flags").BehaviorFlagRendered
    flag._default_source = staticmethod(lambda: "dbt.adapters.base.impl")


def keep_free() -> None:
    """Do not look for keys of a model's table, to build tables that refer to one another in turn: no table has any."""
    adapter = importlib.import_module("dbt.adapters.duckdb.impl").DuckDBAdapter
    adapter._acquire_foreign_key_lock = lambda self, model: False


def keep_unheard() -> None:
    """Let dbt make only those messages for debugging that a logger takes: .015 s of CPU a task to throw them away."""
    events = importlib.import_module("dbt_common.events.event_manager")
    fire = events.EventManager.fire_event

    def fire_heard(self: Any, e: Any, level: Any = None, *args: Any, **options: Any) -> None:
        loggers = [logger._python_logger for logger in self.loggers]
        is_heard = any(logger and logger.isEnabledFor(logging.DEBUG) for logger in loggers)
        if is_heard or (level or e.level_tag()) != events.EventLevel.DEBUG:
            fire(self, e, level, *args, **options)

    events.EventManager.fire_event = fire_heard


def keep_listing() -> None:
    """Let dbt read which relations a schema has off a cursor; by a macro and a table it took a task .02 s of CPU."""
    adapter = importlib.import_module("dbt.adapters.duckdb.impl").DuckDBAdapter

    def list_relations(self: Any, schema_relation: Any) -> list[Any]:
        place = (schema_relation.database, schema_relation.schema)
        _, cursor = self.connections.add_query(RELATIONS, auto_begin=False, bindings=place * 2)
        quoted = dict.fromkeys(("database", "schema", "identifier"), True)
        return [
            self.Relation.create(
                *place, identifier=name, quote_policy=quoted, type=self.Relation.get_relation_type(kind)
            )
            for name, kind in cursor.fetchall()
        ]

    adapter.list_relations_without_caching = list_relations


def keep_validation() -> None:
    """Leave out dbt's own check of the parameters, .05 s a task: every task has made it before (`run_command`)."""
    task = importlib.import_module("dbt.task.run").RunTask
    hooks_of = task.get_hooks_by_type

    def other_hooks(self: Any, hook_type: Any) -> list[Any]:
        return [hook for hook in hooks_of(self, hook_type) if hook.raw_code.strip() != VALIDATION]

    task.get_hooks_by_type = other_hooks


def keep_absent() -> None:
    """Note that pandas is not there, if so: DuckDB looks for it at each parameter of a statement, .2 ms each time."""
    if importlib.util.find_spec(PANDAS) is None:
        sys.modules[PANDAS] = None  # type: ignore[assignment]


def keep_silent() -> None:
    """Take Cosmos' listeners away where its telemetry is off: they count all the same, .03 s of CPU a task."""
    if importlib.import_module("cosmos.telemetry").should_emit():
        return
    listeners = importlib.import_module("airflow.sdk.listener").get_listener_manager().pm
    for each in listeners.get_plugins():
        if getattr(each, "__name__", "").startswith("cosmos.listeners."):
            listeners.unregister(each)


def _once(load: Callable[..., Any], settings: Settings) -> Callable[..., Any]:
    loaded: dict[Any, Any] = {}

    @wraps(load)
    def load_once(*args: Any, **options: Any) -> Any:
        key = (repr(args), repr(options), _written(settings))
        if key not in loaded:
            loaded[key] = load(*args, **options)
        return loaded[key]

    return load_once


def _written(settings: Settings) -> tuple[tuple[str, int], ...]:
    """The files that DAGs and dbt's loaders read, and when each was last written (nanoseconds since 1970)."""
    dbt = settings.dbt_dir
    files = [*settings.dags_dir.glob("*.py"), dbt / "dbt_project.yml", dbt / "profiles.yml", settings.manifest_path]
    files += [settings.mapping_path, settings.parameters_path]
    return tuple((str(path), path.stat().st_mtime_ns) for path in sorted(files) if path.exists())
