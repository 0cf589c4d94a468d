"""Windows: the last hour of 30-second windows, what happened in each, and which came late or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem_airflow.ui.reading import one, rows
from biomem_airflow.ui.views import clock

if TYPE_CHECKING:
    from datetime import datetime

    from biomem_airflow.ui.reading import Reader

WINDOWS = 120
SHOWN_TEXT = 400
SHOWN_MEMORIES = 100


def view(pg: Reader, agent: str | None) -> dict[str, Any]:
    """`windows` are those in which something was in mind, `runs` those that published; the page lays them on a grid."""
    seconds = int(clock.parameter(pg, "short_term_memory_duration", clock.PERIODS_S["short_term_memory"]))
    # the hour before the last window that was computed: a demo's life ends long before today
    end = one(
        pg,
        """
        select coalesce(
            (select as_of from memory.runs where stage = 'short_term_memory' order by sequence desc limit 1), now()
        ) as at
        """,
    )["at"]
    span = {"agent": agent, "end": end, "seconds": seconds, "windows": WINDOWS}
    windows = rows(
        pg,
        """
        select window_start,
            count(*) filter (where is_accessed)::integer as accessed,
            count(*) filter (where is_in_working_memory)::integer as together,
            count(*) filter (where is_in_working_memory and not is_accessed)::integer as carried
        from memory.short_term
        where window_start >= %(end)s - make_interval(secs => %(seconds)s * %(windows)s) and window_start < %(end)s
            and (%(agent)s::text is null or agent_id = %(agent)s)
        group by window_start
        order by window_start
        """,
        span,
    )
    runs = rows(
        pg,
        """
        select run_id, as_of, published_at, rows_written::integer as rows_written,
            extract(epoch from published_at - as_of)::double precision as lag_s
        from memory.runs
        where stage = 'short_term_memory'
            and as_of > %(end)s - make_interval(secs => %(seconds)s * %(windows)s) and as_of <= %(end)s
        order by sequence
        """,
        span,
    )
    return {"clock": clock.read(pg), "end": end, "seconds": seconds, "count": WINDOWS, "windows": windows, "runs": runs}


def memories(pg: Reader, agent: str | None, start: datetime) -> dict[str, Any]:
    """What was in mind in one window."""
    found = rows(
        pg,
        """
        select s.agent_id, s.memory_id, s.is_accessed, s.is_in_working_memory, s.activation,
            left(m.content, %(shown)s) as content
        from memory.short_term as s
        left join memory.memories as m on m.memory_id = s.memory_id
        where s.window_start = %(start)s and (%(agent)s::text is null or s.agent_id = %(agent)s)
        order by s.agent_id, s.is_accessed desc, s.activation desc nulls last, s.memory_id
        limit %(limit)s
        """,
        {"agent": agent, "start": start, "shown": SHOWN_TEXT, "limit": SHOWN_MEMORIES + 1},
    )
    return {"memories": found[:SHOWN_MEMORIES], "has_more": len(found) > SHOWN_MEMORIES}
