"""A task of a model opens the warehouse when dbt has prepared its run, and not before."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from biomem_airflow.dbt_run import before_nodes, refresh_fully
from biomem_airflow.stages import dbt_variables
from dbt.cli.main import dbtRunner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from biomem.settings import Settings
    from dbt.cli.main import dbtRunnerResult

MODEL = "concept_mentions"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = load_settings(home=tmp_path)
    for name, value in dbt_variables(settings).items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.fixture
def build(settings: Settings, tmp_path: Path) -> Callable[[Callable[[], None]], dbtRunnerResult]:
    folder = str(settings.dbt_dir)
    command = ["run", "--select", "stg_clock", "stg_memories", MODEL, "--project-dir", folder, "--profiles-dir", folder]
    command += ["--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path / "logs")]

    def build(act: Callable[[], None]) -> dbtRunnerResult:
        with before_nodes(act):
            return dbtRunner().invoke(command)

    return build


def test_what_is_to_be_done_first_is_done_before_the_warehouse_is_needed(
    settings: Settings, build: Callable[[Callable[[], None]], dbtRunnerResult]
) -> None:
    with ExitStack() as opened:

        def open_it() -> None:
            assert not settings.warehouse_path.exists()
            # with schema raw, without which no model can be built
            opened.enter_context(open_warehouse(settings))

        assert build(open_it).success


def test_a_run_can_be_told_late_to_build_anew(
    settings: Settings, build: Callable[[Callable[[], None]], dbtRunnerResult]
) -> None:
    def marked() -> bool:
        with open_warehouse(settings) as con:
            return bool(
                con.execute(
                    f"select 1 from duckdb_tables() where table_name = '{MODEL}' and comment = 'old'"
                ).fetchone()
            )

    with open_warehouse(settings):
        pass
    assert build(lambda: None).success
    with open_warehouse(settings) as con:
        con.execute(f"comment on table {MODEL} is 'old'")
    assert build(lambda: None).success
    assert marked()
    assert build(refresh_fully).success
    assert not marked()


def test_what_goes_wrong_before_it_ends_the_run_with_the_reason(
    build: Callable[[Callable[[], None]], dbtRunnerResult],
) -> None:
    def fail() -> None:
        raise RuntimeError("the warehouse is in use by somebody")

    outcome = build(fail)
    assert not outcome.success
    assert "in use by somebody" in str(outcome.exception)
