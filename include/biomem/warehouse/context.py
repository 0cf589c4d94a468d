"""What a run computes: its `as_of`, and per agent what is new since the last run that was completed.

Nothing here reads a clock. A run that dies half-way is simply begun again: the marks advance only when a run that
follows a completed one begins, so nothing that the dead run should have computed is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from biomem.errors import ConfigurationError, WarehouseError
from biomem.warehouse.connection import transaction

if TYPE_CHECKING:
    import duckdb

STAGES = ("short_term_memory", "consolidation", "nightly_decay", "weekly_homeostasis")
AWAKE = STAGES[0]
# what must have run once before a stage; a night finds its way without a consolidation
BEFORE = {"consolidation": AWAKE, "nightly_decay": AWAKE, "weekly_homeostasis": "consolidation"}
SHOWN_AGENTS = 5
MANY = 200_000


@dataclass(frozen=True)
class StageStart:
    """What `begin_stage` decided.

    `status` is "behind" when `as_of` lies before what the stage has computed already, and "early" when a sleep stage
    comes before what it works on; then nothing was written, and `message` tells what to do.
    `as_of` is UTC, `previous_as_of` the stage's last one over all agents, `agents` the number in the run, `sequence`
    the run's number (0 when nothing was written).
    """

    status: Literal["ready", "behind", "early"]
    stage: str
    run_id: str
    as_of: datetime
    previous_as_of: datetime | None
    sequence: int
    agents: int
    message: str


def begin_stage(
    con: duckdb.DuckDBPyConnection,
    stage: str,
    *,
    run_id: str,
    as_of: datetime,
    params_hash: str,
    agent_id: str | None = None,
    full_refresh: bool = False,
    rewind: bool = False,
) -> StageStart:
    """Write the run's context and its agents' clocks in one transaction.

    `agent_id` limits the run to one agent and moves no other agent's clock. `full_refresh` makes every memory of the
    run's agents new. `rewind` (with `full_refresh`, for all agents) lets `as_of` go back: only for a caller that
    builds every model anew.
    Raises ConfigurationError for an unknown stage or agent, a naive `as_of`, or `rewind` without a full refresh.
    """
    if stage not in STAGES:
        raise ConfigurationError(f"there is no stage {stage!r}; the stages are {', '.join(STAGES)}")
    if as_of.tzinfo is None:
        raise ConfigurationError(f"as_of {as_of.isoformat()} has no time zone; write it like 2026-01-31T12:00:00+00:00")
    if rewind and (not full_refresh or agent_id is not None):
        raise ConfigurationError("going back in time needs full_refresh and all agents: every model must be built anew")
    as_of = as_of.astimezone(timezone.utc)
    with transaction(con):
        if agent_id is not None:
            require_agent(con, agent_id)
        before = BEFORE.get(stage)
        if before is not None and not _has_begun(con, before):
            message = f"{stage} works on what {before} has computed, which has not run yet: run {before} first"
            return StageStart("early", stage, run_id, as_of, None, 0, 0, message)
        previous = con.execute("select all_agents_as_of from raw.run_context where stage = ?", [stage]).fetchone()
        previous_as_of: datetime | None = previous[0] if previous else None
        last = previous_as_of if agent_id is None else _clock_of(con, stage, agent_id)
        if last is not None and as_of < last and not rewind:
            return StageStart(
                "behind", stage, run_id, as_of, previous_as_of, 0, 0, _behind(stage, as_of, last, agent_id)
            )
        if rewind:
            con.execute("delete from raw.agent_clock where stage = ?", [stage])
        sequence = _next_sequence(con)
        is_whole = full_refresh and agent_id is None
        _write_context(con, stage, run_id, as_of, params_hash, agent_id, sequence, is_whole)
        _write_clocks(con, stage, as_of, agent_id, full_refresh, sequence)
        agents = _count_agents_in_run(con, stage)
    message = f"{stage} as of {as_of.isoformat()} for {agents} agent(s)"
    return StageStart("ready", stage, run_id, as_of, previous_as_of, sequence, agents, message)


def complete_stage(con: duckdb.DuckDBPyConnection, stage: str, run_id: str) -> None:
    """Mark the stage's run as completed for the agents in it; harmless when repeated.

    Raises WarehouseError when `run_id` is not the run that the stage is in: its results were mixed with another's,
    and the marks must stay where they are.
    """
    with transaction(con):
        context = con.execute("select run_id, sequence from raw.run_context where stage = ?", [stage]).fetchone()
        if context is None or context[0] != run_id:
            other = "no run was begun" if context is None else f"run {context[0]!r} was begun since"
            raise WarehouseError(f"{stage}: run {run_id!r} cannot be completed, {other}; run the stage again")
        con.execute(
            "update raw.agent_clock set completed_sequence = begun_sequence "
            "where stage = ? and is_in_run and begun_sequence = ?",
            [stage, context[1]],
        )
        con.execute(
            "update raw.run_context set built_params_hash = params_hash where stage = ? and agent_id is null", [stage]
        )


def has_other_parameters(con: duckdb.DuckDBPyConnection, stage: str, params_hash: str) -> bool:
    """Whether the stage's models were built with other parameters than these: only a full refresh makes up for it."""
    row = con.execute("select built_params_hash from raw.run_context where stage = ?", [stage]).fetchone()
    return row is not None and row[0] not in (None, params_hash)


def is_whole_run(con: duckdb.DuckDBPyConnection, stage: str) -> bool:
    """Whether the run that the stage is in builds its models anew."""
    row = con.execute("select is_whole from raw.run_context where stage = ?", [stage]).fetchone()
    return bool(row and row[0])


def takes_long(con: duckdb.DuckDBPyConnection, stage: str) -> bool:
    """Whether the run that the stage is in has much to do: all is computed, or a sleep stage looks at MANY memories.

    All is computed by a run that builds anew, and by the first one that is completed.
    """
    row = con.execute(
        "select is_whole or built_params_hash is null or (stage <> ? and (select count(*) from raw.memories) > ?) "
        "from raw.run_context where stage = ?",
        [AWAKE, MANY, stage],
    )
    return row.fetchone() == (True,)


def _has_begun(con: duckdb.DuckDBPyConnection, stage: str) -> bool:
    return con.execute("select 1 from raw.run_context where stage = ?", [stage]).fetchone() is not None


def require_agent(con: duckdb.DuckDBPyConnection, agent_id: str) -> None:
    """Raise ConfigurationError, with the agents that there are, when nothing of this one was ever pulled."""
    if con.execute("select 1 from raw.agents where agent_id = ?", [agent_id]).fetchone():
        return
    known = [row[0] for row in con.execute("select agent_id from raw.agents order by agent_id").fetchall()]
    shown = ", ".join(repr(name) for name in known[:SHOWN_AGENTS]) or "none yet"
    more = f" and {len(known) - SHOWN_AGENTS} more" if len(known) > SHOWN_AGENTS else ""
    raise ConfigurationError(f"no memories of agent {agent_id!r} were pulled; known agents: {shown}{more}")


def _clock_of(con: duckdb.DuckDBPyConnection, stage: str, agent_id: str) -> datetime | None:
    row = con.execute(
        "select as_of from raw.agent_clock where stage = ? and agent_id = ?", [stage, agent_id]
    ).fetchone()
    return row[0] if row else None


def _behind(stage: str, as_of: datetime, last: datetime, agent_id: str | None) -> str:
    who = "" if agent_id is None else f" of agent {agent_id!r}"
    return (
        f"as_of {as_of.isoformat()} lies before {last.astimezone(timezone.utc).isoformat()}, up to which {stage}{who} "
        "has been computed: nothing was changed. To see the memory as it was then, run rebuild_memory with that as_of"
    )


def _next_sequence(con: duckdb.DuckDBPyConnection) -> int:
    row = con.execute("select coalesce(max(sequence), 0) + 1 from raw.run_context").fetchone()
    assert row is not None
    return int(row[0])


def _write_context(
    con: duckdb.DuckDBPyConnection,
    stage: str,
    run_id: str,
    as_of: datetime,
    params_hash: str,
    agent_id: str | None,
    sequence: int,
    is_whole: bool,
) -> None:
    con.execute("delete from raw.slices where stage = ?", [stage])
    # what the last published run has left was touched since, by a run that was not published or not to its end
    con.execute(
        "delete from raw.stage_builds where stage = $1 "
        "and run_id not in (select context.run_id from raw.run_context as context where context.stage = $1)",
        [stage],
    )
    con.execute(
        """
        insert into raw.run_context
            (stage, run_id, as_of, params_hash, agent_id, sequence, all_agents_as_of, is_whole)
        select
            $stage, $run_id, coalesce(all_agents_as_of, $as_of), $params_hash, $agent_id, $sequence, all_agents_as_of,
            $is_whole
        from (
            select case when $agent_id is null then $as_of
                else (select all_agents_as_of from raw.run_context where stage = $stage)
            end as all_agents_as_of
        )
        on conflict (stage) do update set
            run_id = excluded.run_id,
            as_of = excluded.as_of,
            params_hash = excluded.params_hash,
            agent_id = excluded.agent_id,
            sequence = excluded.sequence,
            all_agents_as_of = excluded.all_agents_as_of,
            is_whole = excluded.is_whole,
            project_hash = null,
            is_tested = null
        """,
        {
            "stage": stage,
            "run_id": run_id,
            "as_of": as_of,
            "params_hash": params_hash,
            "agent_id": agent_id,
            "sequence": sequence,
            "is_whole": is_whole,
        },
    )


def _write_clocks(
    con: duckdb.DuckDBPyConnection,
    stage: str,
    as_of: datetime,
    agent_id: str | None,
    full_refresh: bool,
    sequence: int,
) -> None:
    """Give every agent of the run its clock.

    An agent that an earlier run took further than this `as_of` keeps its clock and stays out of the run.
    """
    con.execute("update raw.agent_clock set is_in_run = false where stage = ?", [stage])
    con.execute(
        """
        merge into raw.agent_clock as clock
        using (
            select
                agents.agent_id,
                coalesce((select max(batch_id) from raw.pulls), 0) as newest_batch,
                coalesce(consolidation.completed_sequence, 0) as newest_replay
            from raw.agents as agents
            left join raw.agent_clock as consolidation
                on consolidation.agent_id = agents.agent_id and consolidation.stage = 'consolidation'
            where $agent_id is null or agents.agent_id = $agent_id
        ) as agent
            on clock.stage = $stage and clock.agent_id = agent.agent_id
        when matched and clock.as_of <= $as_of then update set
            as_of = $as_of,
            previous_as_of = case
                when $full_refresh then null
                when clock.completed_sequence = clock.begun_sequence then clock.as_of
                else clock.previous_as_of
            end,
            batch_from = case
                when $full_refresh then 0
                when clock.completed_sequence = clock.begun_sequence then clock.batch_upto
                else clock.batch_from
            end,
            batch_upto = agent.newest_batch,
            replay_sequence_from = case
                when $full_refresh then 0
                when clock.completed_sequence = clock.begun_sequence then clock.replay_sequence_upto
                else clock.replay_sequence_from
            end,
            replay_sequence_upto = agent.newest_replay,
            is_in_run = true,
            begun_sequence = $sequence
        when not matched then insert
            (stage, agent_id, as_of, previous_as_of, batch_from, batch_upto, replay_sequence_from,
                is_in_run, completed_sequence, replay_sequence_upto, begun_sequence)
            values ($stage, agent.agent_id, $as_of, null, 0, agent.newest_batch, 0,
                true, 0, agent.newest_replay, $sequence)
        """,
        {
            "stage": stage,
            "agent_id": agent_id,
            "as_of": as_of,
            "full_refresh": full_refresh,
            "sequence": sequence,
        },
    )


def _count_agents_in_run(con: duckdb.DuckDBPyConnection, stage: str) -> int:
    row = con.execute("select count(*) from raw.agent_clock where stage = ? and is_in_run", [stage]).fetchone()
    assert row is not None
    return int(row[0])
