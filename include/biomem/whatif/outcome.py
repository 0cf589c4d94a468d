"""What became of each memory in a warehouse, and how two warehouses differ in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biomem.warehouse.connection import open_warehouse, quote_literal, without_progress_bar
from biomem.warehouse.published_tables import MEMORIES

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

    from biomem.settings import Settings

EXAMPLES = 12
"""Most memories that are named for each way to differ."""

# one row a memory, in the words of schema memory
OUTCOME = f"""
    create or replace table outcome as
    select
        memories.memory_id,
        memories.agent_id,
        memories.state,
        memories.is_long_term,
        in_mind.memory_id is not null as is_in_mind,
        memories.stability_days,
        retained.retention,
        retained.demoted_at,
        promoted.promoted_at
    from ({MEMORIES.select}) as memories
    left join memory_retention as retained on retained.memory_id = memories.memory_id
    left join ltm_memories as promoted on promoted.memory_id = memories.memory_id
    left join wm_active_context as in_mind
        on in_mind.memory_id = memories.memory_id and in_mind.agent_id = memories.agent_id
"""
# way to differ -> when it is so, and since when
WAYS = {
    "forgotten": ("was.state = 'live' and is_.state = 'forgotten'", "is_.demoted_at"),
    "kept": ("was.state = 'forgotten' and is_.state = 'live'", "was.demoted_at"),
    "promoted": ("is_.is_long_term and not was.is_long_term", "is_.promoted_at"),
    "not_promoted": ("was.is_long_term and not is_.is_long_term", "was.promoted_at"),
    "in_mind": ("is_.is_in_mind and not was.is_in_mind", None),
    "out_of_mind": ("was.is_in_mind and not is_.is_in_mind", None),
    "merged": ("is_.state = 'repeat' and was.state <> 'repeat'", None),
    "apart": ("was.state = 'repeat' and is_.state <> 'repeat'", None),
    "superseded": ("is_.state = 'superseded' and was.state <> 'superseded'", None),
    "restated": ("was.state = 'superseded' and is_.state <> 'superseded'", None),
}
COUNTS = {
    "memories": "count(*)",
    "live": "count(*) filter (where state = 'live')",
    "forgotten": "count(*) filter (where state = 'forgotten')",
    "long_term": "count(*) filter (where is_long_term)",
    "in_mind": "count(*) filter (where is_in_mind)",
    "mean_retention": "coalesce(avg(retention), 0)",
}
SIDE = ("state", "is_long_term", "is_in_mind", "stability_days", "retention", "demoted_at", "promoted_at")


@dataclass(frozen=True)
class Difference:
    """A memory that fares differently: how (a key of WAYS), and what became of it on either side."""

    difference: str
    memory_id: str
    agent_id: str
    now: dict[str, Any]
    then: dict[str, Any]


def note_outcome(side: Settings) -> None:
    """Put down what became of each memory in a table of the copy: views cannot be read from outside."""
    with open_warehouse(side, purpose="what_if") as con:
        con.execute(OUTCOME)


def compare(
    now: Settings, then: Settings, since: datetime | None
) -> tuple[dict[str, dict[str, float]], dict[str, int], list[Difference]]:
    """Counts on either side, how many memories fare differently by how, and the clearest examples of each."""
    import duckdb

    with without_progress_bar(duckdb.connect()) as con:
        con.execute("set timezone = 'UTC'")
        for name, side in (("now", now), ("then", then)):
            path = quote_literal(str(side.warehouse_path))
            con.execute(f'attach {path} as "side_{name}" (read_only)')
        counts: dict[str, dict[str, float]] = {name: {} for name in COUNTS}
        for name in ("now", "then"):
            row: Any = con.execute(f"select {', '.join(COUNTS.values())} from side_{name}.outcome").fetchone()
            for what, value in zip(COUNTS, row, strict=True):
                counts[what][name] = value
        differences, examples = {}, []
        for way in WAYS:
            differences[way], found = _examples(con, way, since)
            examples += found
    return counts, differences, examples


def _examples(con: duckdb.DuckDBPyConnection, way: str, since: datetime | None) -> tuple[int, list[Difference]]:
    condition, at = WAYS[way]
    when = f"and {at} >= $since" if at and since else ""
    columns = ", ".join(f"{side}.{name}" for side in ("was", "is_") for name in SIDE)
    rows = con.execute(
        f"""
        select count(*) over (), is_.memory_id, is_.agent_id, {columns}
        from side_now.outcome as was
        join side_then.outcome as is_ on is_.memory_id = was.memory_id
        where {condition} {when}
        order by abs(coalesce(is_.stability_days, 0) - coalesce(was.stability_days, 0)) desc,
            abs(coalesce(is_.retention, 0) - coalesce(was.retention, 0)) desc, is_.memory_id
        limit {EXAMPLES}
        """,
        {"since": since} if when else {},
    ).fetchall()
    count = len(SIDE)
    examples = [
        Difference(
            way,
            row[1],
            row[2],
            dict(zip(SIDE, row[3 : 3 + count], strict=True)),
            dict(zip(SIDE, row[3 + count :], strict=True)),
        )
        for row in rows
    ]
    return (rows[0][0] if rows else 0), examples
