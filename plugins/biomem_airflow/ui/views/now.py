"""Now: the slots of each agent's working memory, and how old that picture is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem_airflow.ui.reading import one, rows
from biomem_airflow.ui.views import clock

if TYPE_CHECKING:
    from biomem_airflow.ui.reading import Reader

AGENTS_A_PAGE = 12
SHOWN_TEXT = 400
# what was in mind at the end of the last windows in which there was anything, for times when nothing is
LAST_AGENTS = 3


def view(pg: Reader, agent: str | None, page: int) -> dict[str, Any]:
    """One page of agents, the most recently active first, with what each has in mind."""
    capacity = clock.parameter(pg, "working_memory_capacity", 7)
    profile = one(pg, "select memory.parameter('working_memory_profile') as value")["value"]
    active = rows(
        pg,
        """
        select agent_id, max(last_accessed_at) as last_accessed_at, count(*) over () as agents
        from memory.working_memory
        where %(agent)s::text is null or agent_id = %(agent)s
        group by agent_id
        order by max(last_accessed_at) desc, agent_id
        limit %(limit)s offset %(offset)s
        """,
        {"agent": agent, "limit": AGENTS_A_PAGE, "offset": page * AGENTS_A_PAGE},
    )
    slots = rows(
        pg,
        """
        select w.agent_id, w.rank, w.memory_id, w.activation, w.last_accessed_at, w.as_of, m.occurred_at, m.speaker,
            m.is_long_term, left(m.content, %(shown)s) as content,
            1 / (1 + exp((%(threshold)s - w.activation) / %(noise)s)) as chance
        from memory.working_memory as w
        left join memory.memories as m on m.memory_id = w.memory_id
        where w.agent_id = any(%(agents)s)
        order by w.agent_id, w.rank
        """,
        {
            "agents": [row["agent_id"] for row in active],
            "shown": SHOWN_TEXT,
            "threshold": clock.parameter(pg, "recall_threshold", -2),
            "noise": clock.parameter(pg, "activation_noise", 0.5),
        },
    )
    by_agent: dict[str, list[dict[str, Any]]] = {row["agent_id"]: [] for row in active}
    for slot in slots:
        by_agent[slot.pop("agent_id")].append(slot)
    return {
        "clock": clock.read(pg),
        "capacity": 4 if profile == "cowan" else int(capacity),
        "agents": [{"agent_id": name, "slots": held} for name, held in by_agent.items()],
        "total": active[0]["agents"] if active else 0,
        "page": page,
        "page_size": AGENTS_A_PAGE,
        "last": _last(pg, agent) if not active else [],
        "is_empty": not active and one(pg, "select not exists (select from memory.memories) as empty")["empty"],
    }


def _last(pg: Reader, agent: str | None) -> list[dict[str, Any]]:
    """What was in mind last, of the agents who had anything in mind last, each with the end of that window."""
    found = rows(
        pg,
        """
        with last as (
            select agent_id, max(window_start) as window_start
            from memory.short_term
            where is_in_working_memory and (%(agent)s::text is null or agent_id = %(agent)s)
            group by agent_id
            order by max(window_start) desc, agent_id
            limit %(limit)s
        )
        select s.agent_id, s.window_start + make_interval(secs => %(seconds)s) as window_end, s.memory_id, s.activation,
            m.occurred_at, m.speaker, m.state, left(m.content, %(shown)s) as content
        from last
        join memory.short_term as s on s.agent_id = last.agent_id and s.window_start = last.window_start
        left join memory.memories as m on m.memory_id = s.memory_id
        where s.is_in_working_memory
        order by last.window_start desc, s.agent_id, s.activation desc nulls last, s.memory_id
        """,
        {
            "agent": agent,
            "limit": LAST_AGENTS,
            "shown": SHOWN_TEXT,
            "seconds": clock.parameter(pg, "short_term_memory_duration", clock.PERIODS_S["short_term_memory"]),
        },
    )
    by_agent: dict[str, dict[str, Any]] = {}
    for row in found:
        key = {"agent_id": row.pop("agent_id"), "window_end": row.pop("window_end")}
        by_agent.setdefault(key["agent_id"], {**key, "memories": []})["memories"].append(row)
    return list(by_agent.values())
