"""The macros as dbt itself renders them: a scratch project over the real macros and the real vars."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml
from biomem.settings import PROJECT_ROOT
from dbt.cli.main import dbtRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.insert(0, str(Path(__file__).parent))


class ScratchProject:
    """A dbt project with the real macros and vars, and with models of the test's own."""

    def __init__(self, folder: Path) -> None:
        real = yaml.safe_load((PROJECT_ROOT / "dbt" / "dbt_project.yml").read_text(encoding="utf-8"))
        self.folder = folder
        self.vars = real["vars"]
        self.project: dict[str, Any] = {
            "name": real["name"],
            "version": "1.0.0",
            "config-version": 2,
            "profile": "scratch",
            "macro-paths": [str(PROJECT_ROOT / "dbt" / "macros" / "equations")],
            "model-paths": ["models"],
            "vars": self.vars,
        }
        (folder / "models").mkdir(parents=True)
        profile = {"scratch": {"target": "t", "outputs": {"t": {"type": "duckdb", "path": ":memory:", "threads": 1}}}}
        (folder / "profiles.yml").write_text(yaml.safe_dump(profile))

    def add_model(self, name: str, sql: str) -> None:
        (self.folder / "models" / f"{name}.sql").write_text(sql)

    def run(self, *command: str) -> Any:
        (self.folder / "dbt_project.yml").write_text(yaml.safe_dump(self.project))
        place = ["--project-dir", str(self.folder), "--profiles-dir", str(self.folder), "--quiet"]
        return dbtRunner().invoke([*command, *place, "--no-use-colors", "--no-send-anonymous-usage-stats"])

    def compiled(self) -> dict[str, str]:
        """SQL by model name, as `dbt compile` leaves it."""
        outcome = self.run("compile")
        assert outcome.success, outcome.exception or [result.message for result in outcome.result]
        manifest = json.loads((self.folder / "target" / "manifest.json").read_text())
        return {node["name"]: node["compiled_code"] for node in manifest["nodes"].values()}


@pytest.fixture(scope="session")
def make_scratch_project() -> Callable[[Path], ScratchProject]:
    return ScratchProject


@pytest.fixture
def scratch_project(tmp_path: Path) -> ScratchProject:
    return ScratchProject(tmp_path / "dbt")


@pytest.fixture(scope="session")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("set threads = 1")
    yield connection
    connection.close()
