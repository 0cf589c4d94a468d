"""What a run may leave out because it would come out the same: a whole idle window, views that stand, recent tests.

Every answer errs towards work: whatever ran outside the published rhythm, or changed the project, is looked at anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from biomem.warehouse.context import AWAKE
from biomem.warehouse.schema import RAW_MIGRATIONS, read_migrations

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

    from biomem.settings import Settings

TESTED_EVERY = timedelta(hours=1)
SUFFIXES = (".sql", ".yml", ".csv")
MADE = ("target", "logs")


@dataclass(frozen=True)
class Build:
    """What a run is built from: hashes of the dbt project and of its parameters."""

    project_hash: str
    params_hash: str


@dataclass(frozen=True)
class Plan:
    """What a run leaves out: `views` that stand as the project has them, and its tests when `is_tested` lately."""

    views: frozenset[str]
    is_tested: bool


def project_hash(settings: Settings) -> str:
    """Hash of every file of the dbt project and of the version of schema raw, which its views select from."""
    digest = hashlib.sha256(str(len(read_migrations(RAW_MIGRATIONS))).encode())
    for path in sorted(settings.dbt_dir.rglob("*")):
        relative = path.relative_to(settings.dbt_dir)
        if path.suffix in SUFFIXES and relative.parts[0] not in MADE:
            digest.update(b"\0" + relative.as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def is_idle(con: duckdb.DuckDBPyConnection, *, as_of: datetime, build: Build, attention: timedelta) -> bool:
    """Whether a window of all agents at `as_of` would publish what the last one has published.

    That one must have been published whole, from the same project and parameters. Nothing may have been pulled or
    replayed since, and nothing have happened in the `attention` before it: what was in mind then leaves it later.
    """
    row = con.execute(
        """
        with last as (
            select
                max(clock.as_of) as as_of,
                min(clock.batch_upto) as batch_upto,
                min(clock.replay_sequence_upto) as replay_sequence_upto
            from raw.agent_clock as clock
            join raw.run_context as context on context.stage = clock.stage
            join raw.stage_builds as built on built.stage = clock.stage and built.run_id = context.run_id
            where clock.stage = $stage and built.project_hash = $project_hash and built.params_hash = $params_hash
            having
                count(*) = (select count(*) from raw.agents)
                and bool_and(clock.is_in_run and clock.completed_sequence = context.sequence)
        )
        select
            last.as_of <= $as_of
            and last.batch_upto >= greatest(
                coalesce((select max(batch_id) from raw.memories), 0),
                coalesce((select max(batch_id) from raw.revisions), 0),
                coalesce((select max(batch_id) from raw.access_log), 0)
            )
            and last.replay_sequence_upto >= coalesce(
                (select max(completed_sequence) from raw.agent_clock where stage = 'consolidation'), 0
            )
            and coalesce((select max(occurred_at) from raw.memories where occurred_at <= $as_of)
                <= last.as_of - $attention, true)
            and coalesce((select max(accessed_at) from raw.access_log where accessed_at <= $as_of)
                <= last.as_of - $attention, true)
        from last
        """,
        {"stage": AWAKE, "as_of": as_of, "attention": attention, **vars(build)},
    ).fetchone()
    return bool(row and row[0])


def plan_stage(con: duckdb.DuckDBPyConnection, stage: str, build: Build, *, is_whole: bool) -> Plan:
    """Decide what the run that was just begun may leave out, and note what it is built from (see `note_published`).

    `is_whole` leaves out nothing.
    """
    built = con.execute(
        "select built.tested_as_of, context.as_of from raw.run_context as context join raw.stage_builds as built "
        "using (stage, params_hash) where stage = ? and built.project_hash = ?",
        [stage, build.project_hash],
    ).fetchone()
    views: set[str] = set()
    is_tested = False
    if built is not None and not is_whole:
        tested_as_of, as_of = built
        is_tested = tested_as_of is not None and timedelta(0) <= as_of - tested_as_of < TESTED_EVERY
        rows = con.execute(
            "select view_name from duckdb_views() where database_name = current_database() and schema_name = 'main'"
        ).fetchall()
        views = {name for (name,) in rows}
    con.execute(
        "update raw.run_context set project_hash = ?, is_tested = ? where stage = ?",
        [build.project_hash, not is_tested, stage],
    )
    return Plan(frozenset(views), is_tested)


def note_published(con: duckdb.DuckDBPyConnection, stage: str) -> None:
    """Remember what the stage's run, now published, was built from."""
    con.execute(
        """
        insert into raw.stage_builds (stage, run_id, project_hash, params_hash, tested_as_of)
        select stage, run_id, project_hash, params_hash, case when is_tested then as_of end
        from raw.run_context
        where stage = ? and project_hash is not null
        on conflict (stage) do update set
            run_id = excluded.run_id,
            project_hash = excluded.project_hash,
            params_hash = excluded.params_hash,
            tested_as_of = coalesce(excluded.tested_as_of, tested_as_of)
        """,
        [stage],
    )
