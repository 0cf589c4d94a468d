"""Why: what a question brings to mind, by which evidence, and a memory's whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem.story import tell
from fastapi import HTTPException

from biomem_airflow.ui.reading import one, rows

if TYPE_CHECKING:
    from biomem_airflow.ui.reading import Reader

FOUND = 20


def search(pg: Reader, agent: str, question: str, forgotten: str) -> dict[str, Any]:
    """The memories that answer best. Looking is not recalling: nothing is logged, so nothing is strengthened."""
    found = rows(
        pg,
        """
        select r.memory_id, r.content, r.occurred_at, r.score, r.parts, m.state, m.is_long_term
        from memory.recall(%(question)s, %(agent)s, %(k)s, 
            as_of => (select as_of from memory.runs order by sequence desc limit 1), forgotten => %(forgotten)s,
            log => false) as r
        left join memory.memories as m on m.memory_id = r.memory_id
        order by r.score desc, r.memory_id
        """,
        {"question": question, "agent": agent, "k": FOUND, "forgotten": forgotten},
    )
    return {"memories": found}


def story(pg: Reader, agent: str, memory_id: str) -> dict[str, Any]:
    """A memory's story as of the last publication."""
    at = one(pg, "select coalesce((select as_of from memory.runs order by sequence desc limit 1), now()) as at")["at"]
    told = tell(pg, agent, memory_id, at)
    if told is None:
        raise HTTPException(404, f"{agent} has no memory {memory_id[:100]!r}")
    return told.as_dict()
