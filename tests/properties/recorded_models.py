"""The shipped dbt models without dbt's seconds: the statements that `dbt run` sends are recorded once and replayed.

A run of dbt costs seconds, a property needs hundreds of runs. What dbt sends to DuckDB for a model (its hooks, the
temporary table, the merge) does not depend on the data. So it is taken from real runs, a full refresh and an
incremental one, and sent again by `World.run`; runs begin and complete by `biomem.warehouse.context` as ever.
`test_recorded_models.py` holds the replay to what dbt itself makes of the same log.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch

import duckdb
from biomem.settings import PROJECT_ROOT
from biomem.warehouse.context import STAGES, begin_stage, complete_stage
from biomem.warehouse.economy import Build, note_published, plan_stage
from biomem.warehouse.schema import migrate
from dbt.cli.main import dbtRunner
from event_logs import pull

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from event_logs import Log

COMMENT = re.compile(r"^\s*/\*.*?\*/\s*", re.DOTALL)
# dbt hangs up after each run, and its temporary tables go; this connection stays
TEMPORARY = re.compile(r"^\s*create temporary table", re.IGNORECASE)
# and indexes, which dbt names by the clock
LEFT_OUT = re.compile(r"^\s*(select|with|describe|show|explain|(create|drop)(\s+unique)?\s+index)\b", re.IGNORECASE)
Mode = Literal["first", "incremental", "full_refresh"]
BUILD = Build("recorded", "test")


@dataclass(frozen=True)
class Recording:
    """What dbt sends, in its order: per mode, (model, statements). The rest is by name of the model."""

    statements: dict[Mode, list[tuple[str, list[str]]]]
    stages: dict[str, str]
    views: frozenset[str]
    parents: dict[str, set[str]]

    def with_ancestors(self, models: Iterable[str]) -> set[str]:
        """These models and all that they read."""
        found: set[str] = set()
        waiting = list(models)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.parents[name]
        return found


def record(folder: Path) -> Recording:
    """Run the real project three times on an empty warehouse in `folder` and note what it sends."""
    warehouse = folder / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as con:
        migrate(con)
    statements: dict[Mode, list[tuple[str, list[str]]]] = {}
    nodes: dict[str, Any] = {}
    parsed: Any = None
    modes: tuple[tuple[Mode, list[str]], ...] = (
        ("first", []),
        ("incremental", []),
        ("full_refresh", ["--full-refresh"]),
    )
    for mode, flags in modes:
        sent: dict[str, list[str]] = {}

        def note(event: Any, sent: dict[str, list[str]] = sent) -> None:
            if event.info.name == "SQLQuery" and event.data.node_info.node_name:
                sent.setdefault(event.data.node_info.node_name, []).append(COMMENT.sub("", event.data.sql, count=1))

        options = [
            *("--project-dir", str(PROJECT_ROOT / "dbt"), "--profiles-dir", str(PROJECT_ROOT / "dbt")),
            *("--target-path", str(folder / "target"), "--log-path", str(folder / "logs"), "--threads", "1"),
            *("--quiet", "--no-use-colors", "--no-send-anonymous-usage-stats"),
        ]
        with patch.dict(os.environ, {"BIOMEM_WAREHOUSE": str(warehouse), "BIOMEM_THREADS": "1"}):
            parsed = parsed or dbtRunner().invoke(["parse", *options]).result
            outcome = dbtRunner(manifest=parsed, callbacks=[note]).invoke(["run", *flags, *options])
        assert outcome.success, outcome.exception or [result.message for result in outcome.result]
        nodes = {result.node.name: result.node for result in outcome.result if result.node.resource_type == "model"}
        statements[mode] = [
            (name, [TEMPORARY.sub("create or replace temporary table", sql) for sql in sqls if not LEFT_OUT.match(sql)])
            for name, sqls in sent.items()
            if name in nodes
        ]
    return Recording(
        statements,
        {name: next(stage for stage in STAGES if stage in node.tags) for name, node in nodes.items()},
        frozenset(name for name, node in nodes.items() if node.config.materialized == "view"),
        {
            name: {parent.rsplit(".", 1)[-1] for parent in node.depends_on.nodes if parent.startswith("model.")}
            for name, node in nodes.items()
        },
    )


class World:
    """An in-memory warehouse that the recorded models compute; `renew` empties it for the next example."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.con = duckdb.connect(config={"threads": 1})
        self.con.execute("set TimeZone = 'UTC'; attach ':memory:' as warehouse; use warehouse")
        migrate(self.con)
        # wm_active_context knows the tables of later stages only once they are there: hence twice
        for mode in ("first", "incremental"):
            self._replay(recording.statements[mode])
        self.tables = self.rows(
            "select schema_name, table_name from duckdb_tables() where database_name = 'warehouse' "
            "and table_name <> 'schema_version'"
        )
        self.runs = 0

    def renew(self) -> World:
        """Forget everything, as if nothing had ever been pulled."""
        for schema, table in self.tables:
            self.con.execute(f'delete from warehouse."{schema}"."{table}"')
        self.con.execute("set TimeZone = 'UTC'")
        self.runs = 0
        return self

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.con.execute(query, list(parameters)).fetchall()

    def value(self, query: str, *parameters: Any) -> Any:
        return self.rows(query, *parameters)[0][0]

    def pull(self, *logs: Log) -> World:
        """Take up logs, or parts of one, each as one pull does."""
        for log in logs:
            pull(self.con, log)
        return self

    def run(
        self,
        stage: str,
        as_of: datetime,
        *,
        full_refresh: bool = False,
        agent_id: str | None = None,
        complete: bool = True,
        only: Iterable[str] = (),
    ) -> str:
        """One run of a stage (`only` of these models of it and of what they read, if any are named); its status.

        `complete=False` leaves it as a run that died before its last task.
        """
        self.runs += 1
        run_id = f"run-{self.runs}"
        start = begin_stage(
            self.con,
            stage,
            run_id=run_id,
            as_of=as_of,
            params_hash=BUILD.params_hash,
            agent_id=agent_id,
            full_refresh=full_refresh,
        )
        if start.status != "ready":
            return start.status
        plan_stage(self.con, stage, BUILD, is_whole=full_refresh)
        wanted = self.recording.with_ancestors(only or self.recording.stages)
        mode: Mode = "full_refresh" if full_refresh and agent_id is None else "incremental"
        self._replay(
            [
                (name, statements)
                for name, statements in self.recording.statements[mode]
                if self.recording.stages[name] == stage and name in wanted and name not in self.recording.views
            ]
        )
        if complete:
            complete_stage(self.con, stage, run_id)
            note_published(self.con, stage)
        return start.status

    def live_to(self, as_of: datetime, **options: Any) -> World:
        """All stages in the order of a day, and a window more that takes up what sleep did."""
        for stage in (*STAGES, STAGES[0]):
            self.run(stage, as_of, **options)
        return self

    def _replay(self, models: list[tuple[str, list[str]]]) -> None:
        for name, statements in models:
            for sql in statements:
                try:
                    self.con.execute(sql)
                except duckdb.Error as error:
                    raise AssertionError(f"{name}: {error}\n{sql[:2000]}") from error
