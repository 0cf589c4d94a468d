"""Forgetting: when each memory falls below the threshold if nothing happens, and the curve that it follows."""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from biomem.domain.retention import ebbinghaus_retention, short_term_retention
from biomem.explain import decision_words
from fastapi import HTTPException

from biomem_airflow.ui.reading import one, rows
from biomem_airflow.ui.views import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biomem_airflow.ui.reading import Reader

PAGE_SIZE = 25
LAST_FORGOTTEN = 10
SHOWN_TEXT = 400
MARKS = 200
# days until retention has fallen to the threshold, per day of stability: the inverse of memory.retention
DAYS_PER_STABILITY = "(power(%(threshold)s, -1 / %(decay)s) - 1) / (power(0.9, -1 / %(decay)s) - 1)"
# what people retained, and the curve that the model ships for material of that kind
STUDIES = {
    "Ebbinghaus1885": ebbinghaus_retention,
    "Mosteller_wordrecall": ebbinghaus_retention,
    "Murdock1961_STM": short_term_retention,
}
POINTS = 120


def view(pg: Reader, agent: str, search: str, page: int) -> dict[str, Any]:
    """One page of an agent's live memories, the next to be forgotten first."""
    law = _law(pg)
    found = rows(
        pg,
        f"""
        select memory_id, left(content, %(shown)s) as content, stability_days, last_accessed_at, is_long_term,
            access_count, last_accessed_at + make_interval(secs => 86400 * stability_days * {DAYS_PER_STABILITY})
                as falls_at,
            memory.retention(stability_days, last_accessed_at, %(at)s, %(decay)s) as retention,
            count(*) over ()::integer as total
        from memory.memories
        where agent_id = %(agent)s and state = 'live' and stability_days is not null
            and strpos(lower(content), lower(%(search)s)) > 0
        order by falls_at, memory_id
        limit {PAGE_SIZE} offset %(offset)s
        """,
        {**law, "agent": agent, "search": search, "shown": SHOWN_TEXT, "offset": page * PAGE_SIZE},
    )
    total = found[0]["total"] if found else 0
    return {
        "clock": clock.read(pg),
        **law,
        "memories": found,
        "forgotten": _forgotten(pg, agent),
        "total": total,
        "page": page,
        "page_size": PAGE_SIZE,
    }


def _forgotten(pg: Reader, agent: str) -> list[dict[str, Any]]:
    """What the last nights have demoted, the newest first, and why."""
    found = rows(
        pg,
        f"""
        select d.memory_id, d.decision, d.decided_at, d.inputs, d.threshold, d.result, d.other_memory_id, m.state,
            left(m.content, %(shown)s) as content
        from memory.decisions as d
        join memory.memories as m on m.memory_id = d.memory_id
        where d.agent_id = %(agent)s and d.decision = 'demote' and d.is_current
        order by d.decided_at desc, d.memory_id
        limit {LAST_FORGOTTEN}
        """,
        {"agent": agent, "shown": SHOWN_TEXT},
    )
    return [
        {
            **{name: row[name] for name in ("memory_id", "decided_at", "state", "content")},
            "words": decision_words(row, row["inputs"]),
        }
        for row in found
    ]


def curves(pg: Reader, agent: str, memory_ids: Sequence[str]) -> dict[str, Any]:
    """What the curves of some memories are drawn from, and what happened to them: accesses, replays, decisions."""
    law = _law(pg)
    key = {"agent": agent, "ids": list(memory_ids), "shown": SHOWN_TEXT, "marks": MARKS, **law}
    found = rows(
        pg,
        f"""
        select memory_id, left(content, %(shown)s) as content, state, occurred_at, stability_days, last_accessed_at,
            memory.retention(stability_days, last_accessed_at, %(at)s, %(decay)s) as retention,
            last_accessed_at + make_interval(secs => 86400 * stability_days * {DAYS_PER_STABILITY}) as falls_at
        from memory.memories
        where agent_id = %(agent)s and memory_id = any(%(ids)s) and stability_days is not null
        order by array_position(%(ids)s::text[], memory_id)
        """,
        key,
    )
    marks = rows(
        pg,
        """
        select memory_id, at, what from (
            select memory_id, accessed_at as at, kind as what from memory.access_log
            where agent_id = %(agent)s and memory_id = any(%(ids)s)
            union all
            select memory_id, cycle_at, 'replay' from memory.replays
            where agent_id = %(agent)s and memory_id = any(%(ids)s)
            union all
            select repeat_of, occurred_at, 'repeat' from memory.memories
            where agent_id = %(agent)s and repeat_of = any(%(ids)s)
            union all
            select memory_id, decided_at, decision from memory.decisions
            where agent_id = %(agent)s and memory_id = any(%(ids)s) and is_current
        ) as marks
        order by at desc
        limit %(marks)s
        """,
        key,
    )
    return {**law, "memories": found, "marks": marks}


def people() -> dict[str, Any]:
    """The shipped curves over what people retained in published experiments."""
    text = (files("biomem.oracles") / "data" / "retention.csv").read_text(encoding="utf-8")
    table = list(csv.DictReader(text.splitlines()))
    studies = []
    for name, curve in STUDIES.items():
        points = [(float(row["elapsed_s"]), float(row["observed"])) for row in table if row["dataset"] == name]
        source = next(row["source"] for row in table if row["dataset"] == name)
        first, last = max(min(points)[0], 1), max(points)[0]
        at = [first * (last / first) ** (step / POINTS) for step in range(POINTS + 1)]
        model = [(seconds, curve(seconds)) for seconds in at]
        studies.append({"name": name, "source": source, "observed": points, "model": model})
    return {"studies": studies}


def _law(pg: Reader) -> dict[str, Any]:
    weights = one(pg, "select memory.parameter('fsrs_weights') ->> 20 as decay")
    at = one(pg, "select coalesce((select as_of from memory.runs order by sequence desc limit 1), now()) as at")["at"]
    if at is None:
        raise HTTPException(404, "nothing was published yet")
    return {
        "at": at,
        "decay": float(weights["decay"] or 0.1542),
        "threshold": clock.parameter(pg, "forgetting_threshold", 0.6),
    }
