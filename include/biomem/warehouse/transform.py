"""Running the dbt project in this process, on a warehouse of one's choice.

The project is parsed once a process; a further stage then costs what its models cost.
"""

from __future__ import annotations

import gc
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomem.errors import WarehouseError
from biomem.parameters import dbt_arguments
from biomem.warehouse.context import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biomem.settings import Settings

SHOWN_FAILURES = 5
# Nobody reads dbt's account of a run, and a model asks the warehouse about the relations that it needs.
FLAGS = ["--no-write-json", "--no-populate-cache"]


def run_models(settings: Settings, *arguments: str, command: str = "run") -> dict[str, float]:
    """Run `dbt <command> <arguments>` (say `--select tag:consolidation`) on the warehouse of `settings`.

    Returns the seconds that each node took.

    Within `open_warehouse` of the same settings, dbt need not open and close the file for each node.
    Raises WarehouseError naming the models that failed and why.
    """
    from dbt.cli.main import dbtRunner

    manifest = _manifest(settings.dbt_dir)
    with _environment(settings), tempfile.TemporaryDirectory(prefix="biomem-dbt-") as scratch:
        outcome = dbtRunner(manifest=manifest).invoke(
            [command, *arguments, *dbt_arguments(settings), *FLAGS, *_options(settings.dbt_dir, Path(scratch))]
        )
    if not outcome.success:
        raise WarehouseError(_explain(command, outcome))
    # of all that a dbt command may return, these commands return results of nodes
    results: Any = outcome.result or ()
    return {result.node.name: result.execution_time for result in results}


def model_names(settings: Settings) -> list[str]:
    """Names of all models of the project, in alphabetical order."""
    return sorted(lineage(settings))


@dataclass(frozen=True)
class Model:
    """A model of the project: its stage, the models that it reads, and whether it is a view, which stores nothing.

    `memories_at_once`: how many it computes at most in a slice of agents (see `biomem.warehouse.slices`); None: all.
    """

    stage: str
    parents: tuple[str, ...]
    is_view: bool
    memories_at_once: int | None


def lineage(settings: Settings) -> dict[str, Model]:
    """Every model of the project by name."""
    nodes = _manifest(settings.dbt_dir).nodes
    models = {name: node for name, node in nodes.items() if node.resource_type == "model"}
    return {
        node.name: Model(
            next(stage for stage in STAGES if stage in node.tags),
            tuple(models[parent].name for parent in node.depends_on.nodes if parent in models),
            node.config.materialized == "view",
            node.config.meta.get("memories_at_once"),
        )
        for node in models.values()
    }


@lru_cache(maxsize=4)
def _manifest(dbt_dir: Path) -> Any:
    from dbt.cli.main import dbtRunner

    with tempfile.TemporaryDirectory(prefix="biomem-dbt-") as scratch:
        outcome = dbtRunner().invoke(["parse", "--no-static-parser", *_options(dbt_dir, Path(scratch))])
    if not outcome.success:
        raise WarehouseError(_explain("parse", outcome))
    # it is never garbage: each run of dbt would have all of it looked through, some times
    gc.collect()
    gc.freeze()
    return outcome.result


def _options(dbt_dir: Path, scratch: Path) -> list[str]:
    return [
        *("--project-dir", str(dbt_dir), "--profiles-dir", str(dbt_dir)),
        *("--target-path", str(scratch / "target"), "--log-path", str(scratch / "logs")),
        *("--quiet", "--no-use-colors", "--no-send-anonymous-usage-stats", "--log-level-file", "none"),
    ]


@contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    """The variables that profiles.yml reads, for as long as dbt runs."""
    wanted = {
        "BIOMEM_WAREHOUSE": str(settings.warehouse_path),
        "BIOMEM_MAX_MEMORY": settings.max_memory,
        "BIOMEM_THREADS": str(settings.threads),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _explain(command: str, outcome: Any) -> str:
    if outcome.exception is not None:
        return f"dbt {command} failed: {outcome.exception}"
    failed = [result for result in outcome.result or () if result.status in ("error", "fail", "runtime error")]
    shown = "\n".join(f"  {result.node.name}: {result.message}" for result in failed[:SHOWN_FAILURES])
    return f"dbt {command} failed in {len(failed)} node(s):\n{shown}"
