"""What is done once, so that no task has to: imports that the scheduler's forks inherit, and dbt's parse."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb
from biomem.errors import ConfigurationError
from biomem.parameters import dbt_arguments
from biomem.settings import load_settings
from biomem.source.encoding import text_arousal
from biomem.source.scanner import check_extension

from biomem_airflow import kept, manifest

if TYPE_CHECKING:
    from pathlib import Path

    from biomem.settings import Settings
    from dbt.contracts.graph.manifest import Manifest

MODULES = (
    "agate",
    "airflow.providers.postgres.hooks.postgres",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "babel.dates",
    "cosmos.converter",
    "cosmos.operators.local",
    "dbt.adapters.duckdb",
    "dbt.adapters.duckdb.environments.local",
    "dbt.adapters.duckdb.impl",
    "dbt.adapters.factory",
    "dbt.parser.manifest",
    "dbt.task.build",
    "dbt.task.run",
    "dbt.task.test",
    "dbt_common.clients.agate_helper",
    "duckdb",
    "multiprocessing.dummy",
    "psycopg",
    "pyarrow",
    "pyarrow.dataset",
    "biomem.source.pull",
    "biomem.warehouse.publish",
)
ONE_MODEL = "stg_clock"
PARSED = ("partial_parse.msgpack", "manifest.json")

# what `parse` has read in this process or in the one that it was forked from, and how new the project was then
_parsed: tuple[Manifest, float] | None = None


def preload() -> None:
    """Import what tasks need, parse, and read the DAG files once: a forked task then starts in a tenth of a second."""
    for name in MODULES:
        importlib.import_module(name)
    settings = load_settings()
    kept.keep_dbt_loads(settings)
    kept.keep_dependencies(settings)
    kept.keep_templates()
    kept.keep_graph()
    kept.keep_schema()
    kept.keep_flag_source()
    kept.keep_free()
    kept.keep_listing()
    kept.keep_unheard()
    kept.keep_validation()
    kept.keep_absent()
    # where it is missing or does not fit, the pull says so; the scheduler starts all the same
    with suppress(duckdb.Error, OSError):
        check_extension()
    parse()
    _rehearse(settings)
    # these read their lexicon and their grammar
    text_arousal("")
    importlib.import_module("sqlparse.lexer").Lexer.get_default_instance()
    # what Airflow looks up only once for the DAG files, plugins and connections, is inherited too
    kept.keep_dags(settings)
    kept.keep_silent()


def parse() -> None:
    """Parse the dbt project as the tasks will, and lay the result where each stage looks for it.

    A parse that is still good is taken over, which takes a second. dbt's static parser stays off: its threads do not
    survive a fork, and a task that had to parse again would wait for them for ever.
    Raises ConfigurationError when the project cannot be parsed.
    """
    from dbt.cli.main import dbtRunner

    # by name, for only `stages` talks to Cosmos, and the DAG files import it too
    stages = importlib.import_module("biomem_airflow.stages")
    global _parsed
    settings = load_settings()
    changed_at = manifest.last_change(settings)
    target = settings.airflow_home / "dbt"
    os.environ.update(stages.dbt_variables(settings))
    with tempfile.TemporaryDirectory() as logs:
        outcome = dbtRunner().invoke(
            ["--quiet", "parse", *_options(settings), "--target-path", str(target), "--log-path", logs]
        )
    if not outcome.success:
        raise ConfigurationError(f"the dbt project in {settings.dbt_dir} cannot be parsed: {outcome.exception}")
    for cache in stages.parse_caches():
        _lay(target, cache / "target")
    _parsed = (outcome.result, changed_at)


def _rehearse(settings: Settings) -> None:
    """Have dbt do once what it does before each model: load with the home's own parameters, and compile."""
    from dbt.cli.main import dbtRunner
    from dbt_common.clients.jinja import get_template, template_cache

    parsed = parsed_manifest()
    with tempfile.TemporaryDirectory() as scratch:
        paths = ["--target-path", f"{scratch}/target", "--log-path", f"{scratch}/logs"]
        command = ["--quiet", "list", "--select", ONE_MODEL, *dbt_arguments(settings), *_options(settings), *paths]
        dbtRunner(manifest=parsed).invoke(command)
    if parsed:
        for macro in parsed.macros.values():
            template_cache.get_node_template(macro)
        for node in parsed.nodes.values():
            get_template(node.raw_code, {}, node)


def _options(settings: Settings) -> list[str]:
    stages = importlib.import_module("biomem_airflow.stages")
    folder = str(settings.dbt_dir)
    return [
        *("--no-static-parser", "--project-dir", folder, "--profiles-dir", folder),
        *("--profile", stages.PROFILE, "--target", stages.TARGET),
    ]


def parsed_manifest() -> Manifest | None:
    """Return the parsed project if this process has it and no file of it was written since."""
    if _parsed is None or manifest.last_change(load_settings()) != _parsed[1]:
        return None
    return _parsed[0]


def _lay(parsed: Path, cache: Path) -> None:
    """Copy a parse, newer than the one in the project's own folder then (the newest is taken), and never half of it."""
    cache.mkdir(parents=True, exist_ok=True)
    for name in PARSED:
        fresh = cache / f"{name}.{os.getpid()}"
        shutil.copyfile(parsed / name, fresh)
        fresh.replace(cache / name)
