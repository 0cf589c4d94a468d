"""Whose memory can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem_airflow.ui.reading import one, rows

if TYPE_CHECKING:
    from biomem_airflow.ui.reading import Reader

SHOWN = 50


def find(pg: Reader, search: str) -> dict[str, Any]:
    """The first agents whose name holds `search`, by name; `has_more` says that there are others.

    Without a search, `suggested` is whom to show when nobody was chosen: the one who was in mind last, else the first
    by name.
    """
    found = rows(
        pg,
        # walks the index from agent to agent: a distinct over a million memories would read them all
        """
        with recursive known as (
            (select agent_id from memory.memories order by agent_id limit 1)
            union all
            select (
                select m.agent_id from memory.memories as m where m.agent_id > known.agent_id
                order by m.agent_id limit 1
            )
            from known where known.agent_id is not null
        )
        select agent_id from known
        where agent_id is not null and strpos(lower(agent_id), lower(%(search)s)) > 0
        limit %(limit)s
        """,
        {"search": search, "limit": SHOWN + 1},
    )
    names = [row["agent_id"] for row in found]
    return {"agents": names[:SHOWN], "has_more": len(names) > SHOWN, "suggested": None if search else _suggested(pg)}


def _suggested(pg: Reader) -> str | None:
    found: str | None = one(
        pg,
        """
        select coalesce(
            (select agent_id from memory.working_memory order by last_accessed_at desc, agent_id limit 1),
            (select agent_id from memory.short_term order by window_start desc, agent_id limit 1),
            (select agent_id from memory.memories order by agent_id limit 1)
        ) as agent_id
        """,
    )["agent_id"]
    return found
