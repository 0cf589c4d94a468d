"""Which model becomes which table of schema `memory`, column by column: the contract with everyone who reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SHORT_TERM_WINDOWS = 100
REPLAYS_PER_MEMORY = 5
IN_SCOPE = "/* in scope */ true"
IN_SLICE = "/* in slice */ true"


@dataclass(frozen=True)
class PublishedTable:
    """One table of the target.

    `select` runs in the warehouse and yields the table's columns but for `run_id, params_hash, as_of`. `optional`
    are models that a later stage builds, with the columns that `select` takes from them: before their first build
    they count as empty.

    `numbered` are relations by whose `sequence` or `batch_id` one can tell what a window may have changed: the rows
    that are newer than the last publication name the first column of the key, and only its rows (IN_SCOPE in `select`,
    where it is called `scoped_by`) are compared. A table without it is compared whole at each publication, and so is
    one that takes something besides from the models of the stage `sleep`, from when a run of that has begun until it
    is published.

    Where a large table is compared in slices (see `ahead`), IN_SLICE in `select` stands where it must be said besides
    which values of the key's first column are meant, because no filter from outside gets there.
    """

    name: str
    key: tuple[str, ...]
    select: str
    optional: Mapping[str, str] = field(default_factory=dict)
    numbered: Mapping[str, str] = field(default_factory=dict)
    scoped_by: str = ""
    sleep: str = ""


MEMORIES = PublishedTable(
    "memories",
    ("memory_id",),
    f"""
    select
        traces.memory_id,
        traces.agent_id,
        memories.session_id,
        memories.speaker,
        memories.content,
        memories.occurred_at,
        case
            when traces.repeat_of is not null then 'repeat'
            when superseded.memory_id is not null then 'superseded'
            -- an access since last night has brought it back
            when retained.is_forgotten and traces.last_accessed_at <= retained.demoted_at then 'forgotten'
            else 'live'
        end as state,
        traces.repeat_of,
        traces.stability_days,
        traces.difficulty,
        traces.last_accessed_at,
        traces.access_count::integer as access_count,
        traces.is_long_term,
        memories.arousal,
        memories.importance,
        memories.tags
    from memory_traces as traces
    join stg_memories as memories on memories.memory_id = traces.memory_id
    left join memory_supersessions as superseded
        on superseded.memory_id = traces.memory_id and superseded.is_current and superseded.is_superseded
    left join memory_retention as retained on retained.memory_id = traces.memory_id
    where traces.is_live and traces.is_seen and {IN_SCOPE}
    """,
    optional={"memory_retention": "memory_id varchar, is_forgotten boolean, demoted_at timestamptz"},
    numbered={"memory_traces": "sequence", "memory_supersessions": "sequence", "raw.memories": "batch_id"},
    scoped_by="traces.memory_id",
    sleep="nightly_decay",
)

WORKING_MEMORY = PublishedTable(
    "working_memory",
    ("agent_id", "rank"),
    "select agent_id, rank, memory_id, activation, last_accessed_at from wm_active_context",
)

SHORT_TERM = PublishedTable(
    "short_term",
    ("agent_id", "window_start", "memory_id"),
    f"""
    select agent_id, window_start, memory_id, is_accessed, is_in_working_memory, activation
    from stm_windows
    where is_current and {IN_SCOPE}
    qualify dense_rank() over (partition by agent_id order by window_start desc) <= {SHORT_TERM_WINDOWS}
    """,
    numbered={"stm_windows": "sequence"},
    scoped_by="agent_id",
)

LONG_TERM = PublishedTable(
    "long_term",
    ("memory_id",),
    """
    select memory_id, agent_id, promoted_at, consolidation, stability_days, replays::integer as replays
    from ltm_memories
    where memory_id in (select memory_id from stg_memories where is_live)
    """,
)

ASSOCIATIONS = PublishedTable(
    "associations",
    ("agent_id", "memory_a", "memory_b"),
    f"""
    select
        pairs.agent_id, pairs.memory_a, pairs.memory_b, pairs.trace, pairs.last_coactive_at,
        pairs.coactivations::integer as coactivations,
        -- homeostasis looks from either end; a pair is pruned when both ends let go, and lives when it met since
        coalesce(pruned.is_pruned and pruned.last_coactive_at >= pairs.last_coactive_at, false) as is_pruned
    from memory_associations as pairs
    left join (
        select
            agent_id,
            least(memory_id, associated_memory_id) as memory_a,
            greatest(memory_id, associated_memory_id) as memory_b,
            bool_and(is_pruned) as is_pruned,
            max(last_coactive_at) as last_coactive_at
        from association_homeostasis
        where {IN_SLICE}
        group by all
    ) as pruned using (agent_id, memory_a, memory_b)
    """,
    optional={
        "association_homeostasis": "agent_id varchar, memory_id varchar, associated_memory_id varchar, "
        "is_pruned boolean, last_coactive_at timestamptz"
    },
)

CONCEPTS = PublishedTable(
    "concepts",
    ("agent_id", "concept"),
    """
    select agent_id, concept, kind, memories::integer as memories, first_mentioned_at, last_mentioned_at
    from concepts
    """,
)

SEMANTIC_NETWORK = PublishedTable(
    "semantic_network",
    ("agent_id", "relation", "source_id", "target_id"),
    "select agent_id, relation, source_id, target_id, strength, community_id from ltm_semantic_network",
)

GISTS = PublishedTable(
    "gists",
    ("agent_id", "community_id"),
    """
    select
        agent_id, community_id, medoid_memory_id, medoid_centrality, terms,
        concepts::integer as concepts, memories::integer as memories
    from gists
    """,
)

REPLAYS = PublishedTable(
    "replays",
    ("memory_id", "cycle_at"),
    f"""
    select memory_id, cycle_at, agent_id, priority, retention, need, stability_days, consolidation
    from memory_replay
    where is_current and {IN_SLICE} and memory_id in (select memory_id from stg_memories where is_live and {IN_SLICE})
    qualify row_number() over (partition by memory_id order by cycle_at desc) <= {REPLAYS_PER_MEMORY}
    """,
)

DECISIONS = PublishedTable(
    "decisions",
    ("decision_id",),
    """
    select
        decision_id, memory_id, other_memory_id, agent_id, stage, decision, decided_at, inputs, threshold, result,
        revises, is_current
    from memory_ledger
    """,
)

HEALTH = PublishedTable(
    "health",
    ("agent_id", "layer", "metric", "measured_at"),
    "select agent_id, layer, metric, measured_at, value from memory_health",
)

PARAMETERS = PublishedTable(
    "parameters",
    ("name",),
    "select name, value, unit, allowed, meaning, source, basis from run_parameters",
)

SOURCES = PublishedTable(
    "sources",
    ("source_name",),
    "select source_name, complete_as_of, coalesce(position, horizon) as watermark from raw.watermarks",
)

STAGE_TABLES: Mapping[str, tuple[PublishedTable, ...]] = {
    "short_term_memory": (MEMORIES, WORKING_MEMORY, SHORT_TERM, SOURCES),
    "consolidation": (LONG_TERM, REPLAYS, ASSOCIATIONS, CONCEPTS),
    "nightly_decay": (MEMORIES, DECISIONS, HEALTH),
    "weekly_homeostasis": (ASSOCIATIONS, SEMANTIC_NETWORK, GISTS),
}
