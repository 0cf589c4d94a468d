"""A small life in a warehouse of its own: raw rows written directly, stages run by dbt on the real project."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import yaml
from biomem.parameters import params_hash
from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import AWAKE, STAGES, begin_stage, complete_stage
from biomem.warehouse.economy import current_build, note_published, plan_stage, quiet_for
from biomem.warehouse.transform import lineage, run_models

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb
    from biomem.settings import Settings

# what tasks tell dbt (biomem_airflow.stages)
SHORT_WAY = {"BIOMEM_SHORT_WAY": "yes"}
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def day(days: float) -> datetime:
    """The instant that many days into the life, to the second."""
    return START + timedelta(seconds=round(days * 86400))


class Life:
    """Raw memories and accesses of some agents, pulled in batches, and the stages that were run over them."""

    def __init__(self, home: Path) -> None:
        self.settings: Settings = replace(load_settings(home), threads=2, max_memory="1GB")
        self.batch = 0
        self.runs = 0

    def set_parameters(self, **values: Any) -> None:
        """Compute with other parameters from now on, in a copy of the dbt project."""
        root = self.settings.home / f"project-{self.runs}"
        shutil.copytree(
            self.settings.dbt_dir, root / "dbt", ignore=shutil.ignore_patterns("target", "logs"), dirs_exist_ok=True
        )
        path = root / "dbt" / "dbt_project.yml"
        project = yaml.safe_load(path.read_text(encoding="utf-8"))
        project["vars"].update(values)
        path.write_text(yaml.safe_dump(project, sort_keys=False), encoding="utf-8")
        self.settings = replace(self.settings, project_root=root)

    @contextmanager
    def open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with open_warehouse(self.settings) as con:
            yield con

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.open() as con:
            return con.execute(query, list(parameters)).fetchall()

    def value(self, query: str, *parameters: Any) -> Any:
        return self.rows(query, *parameters)[0][0]

    def pull(
        self,
        memories: list[dict[str, Any]] | None = None,
        accesses: list[tuple[str, datetime]] | None = None,
        *,
        by: str | None = None,
        deleted: dict[str, datetime] | None = None,
    ) -> None:
        """One pull: new or changed memories (by memory_id), accesses (memory_id, instant), and deletions.

        `by` is the agent that the accesses name: the memory's own where it is not given.
        """
        self.batch += 1
        with self.open() as con:
            for memory in memories or []:
                self._put(con, memory)
            for number, (memory_id, at) in enumerate(accesses or []):
                con.execute(
                    "insert into raw.access_log select ?, memory_id, coalesce(?, agent_id), ?, 'retrieve', 3, ? "
                    "from raw.memories where memory_id = ?",
                    [f"{self.batch}-{number}", by, at, self.batch, memory_id],
                )
            for memory_id, at in (deleted or {}).items():
                con.execute(
                    "update raw.memories set deleted_at = ?, batch_id = ? where memory_id = ?",
                    [at, self.batch, memory_id],
                )
            con.execute("insert into raw.pulls values (?, 'test', 'pull', null, null, '1', 0, 0, 0, 0)", [self.batch])

    def _put(self, con: duckdb.DuckDBPyConnection, memory: dict[str, Any]) -> None:
        row = {"agent_id": "ada", "session_id": None, "speaker": None, "content": memory["memory_id"], **memory}
        old = con.execute("select content from raw.memories where memory_id = ?", [row["memory_id"]]).fetchone()
        if old is not None and old[0] != row["content"]:
            con.execute(
                "insert into raw.revisions select ?, count(*) + 1, md5(?), ?, ? from raw.revisions where memory_id = ?",
                [row["memory_id"], row["content"], row["updated_at"], self.batch, row["memory_id"]],
            )
        con.execute("delete from raw.memories where memory_id = ?", [row["memory_id"]])
        con.execute(
            """
            insert into raw.memories (source_name, memory_id, agent_id, session_id, speaker, content, occurred_at,
                updated_at, importance, arousal, tags, text_arousal, batch_id)
            values ('test', $memory_id, $agent_id, $session_id, $speaker, $content, $occurred_at, $updated_at,
                $importance, $arousal, $tags, 0, $batch)
            """,
            {
                **{name: row.get(name) for name in ("updated_at", "importance", "arousal")},
                **{name: row[name] for name in ("memory_id", "agent_id", "session_id", "speaker", "content")},
                "occurred_at": row["occurred_at"],
                "tags": row.get("tags", []),
                "batch": self.batch,
            },
        )
        con.execute("insert into raw.agents values (?) on conflict do nothing", [row["agent_id"]])

    def run(
        self,
        stage: str,
        as_of: datetime,
        *,
        agent_id: str | None = None,
        full_refresh: bool = False,
        complete: bool = True,
        select: list[str] | None = None,
    ) -> str:
        """One run of a stage; its status. `complete=False` leaves it as a run that died before its last task.

        It is begun and noted as a task does, and leaves out the tables that a task leaves out; never views or tests.
        """
        self.runs += 1
        run_id = f"run-{self.runs}"
        is_quiet = False
        with self.open() as con:
            build = current_build(con, self.settings)
            if stage == AWAKE and agent_id is None and not full_refresh:
                is_quiet = quiet_for(con, as_of=as_of, build=build) is not None
            start = begin_stage(
                con,
                stage,
                run_id=run_id,
                as_of=as_of,
                params_hash=build.params_hash,
                agent_id=agent_id,
                full_refresh=full_refresh,
            )
            if start.status == "ready":
                plan = plan_stage(con, stage, build, is_whole=full_refresh, is_quiet=is_quiet)
        if start.status != "ready":
            return start.status
        refresh = ["--full-refresh"] if full_refresh and agent_id is None else []
        tables = [name for name, model in lineage(self.settings).items() if not model.is_view]
        left_out = ["--exclude", *sorted(plan.models.intersection(tables))] if is_quiet else []
        with patch.dict(os.environ, SHORT_WAY):
            run_models(self.settings, "--select", *(select or [f"tag:{stage}"]), *left_out, *refresh)
        if complete:
            with self.open() as con:
                complete_stage(con, stage, run_id)
                note_published(con, stage)
        return start.status

    def live_to(self, as_of: datetime, **options: Any) -> None:
        """All four stages in the order of a day, and a window more that takes up what sleep did."""
        for stage in (*STAGES, STAGES[0]):
            self.run(stage, as_of, **options)
