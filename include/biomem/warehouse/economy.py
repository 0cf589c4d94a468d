"""What a run may leave out because it would come out the same: models to which nothing is new, views, recent tests.

Every answer errs towards work: whatever ran outside the published rhythm, or changed the project, is looked at anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from biomem.parameters import params_hash
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
    """What a run is built from: hashes of the dbt project, with the tables that it found, and of its parameters."""

    project_hash: str
    params_hash: str


def current_build(con: duckdb.DuckDBPyConnection, settings: Settings) -> Build:
    """What a run that begins now is built from.

    Which tables there are is part of it: a view that was made before one that it reads leaves that out (the macro
    ref_if_built) until it is made again.
    """
    tables = con.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = 'main' "
        "order by table_name"
    ).fetchall()
    digest = hashlib.sha256(project_hash(settings).encode())
    for (name,) in tables:
        digest.update(b"\0" + str(name).encode())
    return Build(digest.hexdigest(), params_hash(settings))


@dataclass(frozen=True)
class Plan:
    """What a run leaves out: the `models` that stand as they would come out, and its tests when `is_tested` lately."""

    models: frozenset[str]
    is_tested: bool


def project_hash(settings: Settings) -> str:
    """Hash of every file of the dbt project and of the version of schema raw, which its views select from."""
    digest = hashlib.sha256(str(len(read_migrations(RAW_MIGRATIONS))).encode())
    for path in sorted(settings.dbt_dir.rglob("*")):
        relative = path.relative_to(settings.dbt_dir)
        if path.suffix in SUFFIXES and relative.parts[0] not in MADE:
            digest.update(b"\0" + relative.as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def quiet_for(con: duckdb.DuckDBPyConnection, *, as_of: datetime, build: Build) -> timedelta | None:
    """How long ago anything had befallen a memory when the last window was published; None if anything is new since.

    The models of a window of all agents at `as_of` would come out as they stand, then: that last one was published
    whole, from the same project and parameters; nothing was pulled or replayed since, and nothing that was pulled
    before lies between the two instants. A run of consolidation that is under way counts as a replay.
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
                and context.agent_id is null
            having
                count(*) = (select count(*) from raw.agents)
                and bool_and(clock.is_in_run and clock.completed_sequence = context.sequence)
        ),

        asleep as (
            -- also of a run that is under way, or died: what it has replayed is there to be taken up
            select coalesce(max(begun_sequence), 0) as sequence, max(as_of) as as_of
            from raw.agent_clock
            where stage = 'consolidation'
        )

        select
            last.as_of,
            greatest(
                (select max(occurred_at) from raw.memories where occurred_at <= $as_of),
                (select max(revised_at) from raw.revisions where revised_at <= $as_of),
                (select max(accessed_at) from raw.access_log where accessed_at <= $as_of)
            )
        from last
        cross join asleep
        where
            last.as_of <= $as_of
            and last.batch_upto >= greatest(
                coalesce((select max(batch_id) from raw.memories), 0),
                coalesce((select max(batch_id) from raw.revisions), 0),
                coalesce((select max(batch_id) from raw.access_log), 0)
            )
            and last.replay_sequence_upto >= asleep.sequence
            -- no cycle of sleep is still to come
            and coalesce(asleep.as_of <= last.as_of, true)
        """,
        {"stage": AWAKE, "as_of": as_of, **vars(build)},
    ).fetchone()
    if row is None:
        return None
    published_as_of, last_event = row
    if last_event is None:
        return timedelta.max
    return published_as_of - last_event if last_event <= published_as_of else None


def plan_stage(
    con: duckdb.DuckDBPyConnection, stage: str, build: Build, *, is_whole: bool, is_quiet: bool = False
) -> Plan:
    """Decide what the run that was just begun may leave out, and note what it is built from (see `note_published`).

    Views that the project has so; tables too where `is_quiet` (see `quiet_for`). `is_whole` leaves out nothing.
    """
    built = con.execute(
        "select built.tested_as_of, context.as_of from raw.run_context as context join raw.stage_builds as built "
        "using (stage, params_hash) where stage = ? and built.project_hash = ?",
        [stage, build.project_hash],
    ).fetchone()
    models: set[str] = set()
    is_tested = False
    if built is not None and not is_whole:
        tested_as_of, as_of = built
        is_tested = tested_as_of is not None and timedelta(0) <= as_of - tested_as_of < TESTED_EVERY
        rows = con.execute(
            "select table_name from information_schema.tables "
            "where table_catalog = current_database() and table_schema = 'main' and (table_type = 'VIEW' or ?)",
            [is_quiet],
        ).fetchall()
        models = {name for (name,) in rows}
    con.execute(
        "update raw.run_context set project_hash = ?, is_tested = ? where stage = ?",
        [build.project_hash, not is_tested, stage],
    )
    return Plan(frozenset(models), is_tested)


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
