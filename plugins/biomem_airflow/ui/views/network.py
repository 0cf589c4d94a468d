"""Network: the strongest associations first, and from there the neighbourhood of a concept or a memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem_airflow.ui.reading import one, rows
from biomem_airflow.ui.views import clock

if TYPE_CHECKING:
    from biomem_airflow.ui.reading import Reader

SHOWN_TEXT = 200

WHOLE = """
    select relation, source_id, target_id, strength, community_id
    from memory.semantic_network
    where agent_id = %(agent)s and strength >= %(strength)s
    order by strength desc, relation, source_id, target_id
    limit %(limit)s
"""
# everything one step away, and how those hang together
NEIGHBOURHOOD = """
    with edges as materialized (
        select relation, source_id, target_id, strength, community_id
        from memory.semantic_network
        where agent_id = %(agent)s and strength >= %(strength)s
    ), near as (
        select %(concept)s as id
        union
        select case when source_id = %(concept)s then target_id else source_id end
        from edges where %(concept)s in (source_id, target_id)
    )
    select * from edges
    where source_id in (select id from near) and target_id in (select id from near)
    order by %(concept)s in (source_id, target_id) desc, strength desc, relation, source_id, target_id
    limit %(limit)s
"""


def view(pg: Reader, agent: str, concept: str | None, strength: float, limit: int) -> dict[str, Any]:
    """At most `limit` edges of at least `strength`, their ends, and what the communities come down to."""
    key = {"agent": agent, "concept": concept, "strength": strength, "limit": limit}
    edges = rows(pg, WHOLE if concept is None else NEIGHBOURHOOD, key)
    total = one(pg, "select count(*)::integer as edges from memory.semantic_network where agent_id = %(agent)s", key)
    memory_ids, concepts = _ends(edges)
    nodes = rows(
        pg,
        """
        select memory_id as id, 'memory' as kind, left(content, %(shown)s) as label, state, is_long_term,
            null::integer as memories
        from memory.memories where agent_id = %(agent)s and memory_id = any(%(memory_ids)s)
        union all
        select concept, kind, concept, null, null, memories
        from memory.concepts where agent_id = %(agent)s and concept = any(%(concepts)s)
        """,
        {**key, "memory_ids": memory_ids, "concepts": concepts, "shown": SHOWN_TEXT},
    )
    gists = rows(
        pg,
        """
        select g.community_id, g.terms, g.memories, left(m.content, %(shown)s) as medoid
        from memory.gists as g
        left join memory.memories as m on m.memory_id = g.medoid_memory_id
        where g.agent_id = %(agent)s
        order by g.memories desc, g.community_id
        limit 24
        """,
        {**key, "shown": SHOWN_TEXT},
    )
    return {"clock": clock.read(pg), "edges": edges, "nodes": nodes, "gists": gists, "total": total["edges"]}


def _ends(edges: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Memory ids and concepts among the ends: each relation says of what kind its ends are."""
    memories, concepts = set(), set()
    for edge in edges:
        (concepts if edge["relation"] == "related" else memories).add(edge["source_id"])
        (memories if edge["relation"] == "associated" else concepts).add(edge["target_id"])
    return sorted(memories), sorted(concepts)
