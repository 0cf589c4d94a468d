"""Computing a model for some agents at a time, so that no run of dbt has the warehouse for long.

Sleep computes for all memories of all agents what time alone has changed. No model looks across agents, so one that is
computed for a slice of them after the other comes out the same as for all at once. A slice is a range of agent ids;
where the next one ends is counted from the log, and how far a model has come stands in `raw.slices`: a task that was
killed repeats its slice, and a new run of the stage begins anew. An agent is never divided.

The models read the range by the macro `in_slice`; how many memories at once are not too many for one stands in its
configuration (`memories_at_once`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from biomem.warehouse.context import is_whole_run

if TYPE_CHECKING:
    import duckdb


def begin_slice(con: duckdb.DuckDBPyConnection, stage: str, model: str, *, memories: int) -> None:
    """Let the next run of `model` compute the agents that come next, as many as have `memories` together.

    A model that is built anew computes all of them, and so does one whose table was lost: to it, agents of whom nothing
    is new would be done.
    """
    if is_whole_run(con, stage) or _is_lost(con, stage, model):
        con.execute("delete from raw.slices where model = ?", [model])
        return
    con.execute(
        """
        insert into raw.slices (model, stage, agents_after, agents_upto)
        with done as (

            select max(agents_after) as agents_after
            from raw.slices
            where model = $model

        ),

        agents as (

            select
                agent_id,
                sum(count(*)) over (order by agent_id) as memories_upto
            from raw.memories
            where coalesce(agent_id > (select agents_after from done), true)
            group by agent_id

        )

        select
            $model,
            $stage,
            (select agents_after from done),
            nullif(min(agent_id) filter (memories_upto >= $memories), max(agent_id))
        from agents
        on conflict (model) do update set agents_upto = excluded.agents_upto
        """,
        {"model": model, "stage": stage, "memories": memories},
    )


def end_slice(con: duckdb.DuckDBPyConnection, model: str) -> bool:
    """Note that the slice was computed; whether it was the last."""
    con.execute("delete from raw.slices where model = ? and agents_upto is null", [model])
    left = con.execute(
        "update raw.slices set agents_after = agents_upto where model = ? returning model", [model]
    ).fetchone()
    return left is None


def _is_lost(con: duckdb.DuckDBPyConnection, stage: str, model: str) -> bool:
    row = con.execute(
        """
        select 1 where exists (select 1 from raw.agent_clock where stage = $stage and completed_sequence > 0)
            and not exists (
                select 1 from duckdb_tables()
                where database_name = current_database() and schema_name = 'main' and table_name = $model
            )
        """,
        {"stage": stage, "model": model},
    ).fetchone()
    return row is not None
