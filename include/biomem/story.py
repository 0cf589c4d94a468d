"""A memory's story as the published schema tells it: for whoever has PostgreSQL and not the warehouse.

`biomem.explain` tells the same from the warehouse, where every event is kept; here are the newest accesses and replays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem.explain import Chapter, Story, decision_words, number, when

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    Reader = psycopg.Connection[tuple[Any, ...]]

ACCESSES = 100


def tell(pg: Reader, agent_id: str, memory_id: str, at: datetime) -> Story | None:
    """The story of one memory of `agent_id`, and what it is worth `at`; None when the agent has no such memory."""
    found = _rows(
        pg,
        """
        select memory_id, agent_id, session_id, speaker, content, occurred_at, state, repeat_of, stability_days,
            difficulty, last_accessed_at, access_count, is_long_term, arousal, importance, tags, as_of,
            memory.retention(stability_days, last_accessed_at, %(at)s) as retention,
            coalesce((memory.parameter('forgetting_threshold'))::double precision, 0.6) as forgetting_threshold,
            last_accessed_at + make_interval(secs => 86400 * stability_days
                * (power(coalesce((memory.parameter('forgetting_threshold'))::double precision, 0.6), -1 / decay) - 1)
                / (power(0.9::double precision, -1 / decay) - 1)) as falls_below_threshold_at
        from memory.memories
        cross join (
            select coalesce((memory.parameter('fsrs_weights') ->> 20)::double precision, 0.1542) as decay
        ) as parameters
        where memory_id = %(id)s and agent_id = %(agent)s
        """,
        {"id": memory_id, "agent": agent_id, "at": at},
    )
    if not found:
        return None
    row = found[0]
    memory = {name: row.pop(name) for name in ("memory_id", "agent_id", "session_id", "speaker", "content")}
    key = {"id": memory_id, "agent": agent_id}
    chapters = [
        Chapter(row["occurred_at"], "encode", _encoded(memory, row)),
        *_repeats(pg, key),
        *_accesses(pg, key),
        *_replays(pg, key),
        *_decisions(pg, key),
    ]
    order = sorted(range(len(chapters)), key=lambda place: (chapters[place].at, place))
    return Story(memory, row, _now(row, at), [chapters[place] for place in order])


def _encoded(memory: dict[str, Any], row: dict[str, Any]) -> str:
    where = f" in session {memory['session_id']}" if memory["session_id"] else ""
    return f"encoded{where} (arousal {number(row['arousal'])})"


def _repeats(pg: Reader, key: dict[str, str]) -> list[Chapter]:
    rows = _rows(
        pg,
        "select memory_id, occurred_at from memory.memories "
        "where agent_id = %(agent)s and repeat_of = %(id)s order by occurred_at, memory_id",
        key,
    )
    return [Chapter(row["occurred_at"], "restudy", f"repeated by {row['memory_id']}: restudied", row) for row in rows]


def _accesses(pg: Reader, key: dict[str, str]) -> list[Chapter]:
    rows = _rows(
        pg,
        "select accessed_at, kind, grade, origin from memory.access_log "
        f"where memory_id = %(id)s and agent_id = %(agent)s order by accessed_at desc limit {ACCESSES}",
        key,
    )
    words = {"retrieve": "retrieved", "restudy": "restudied"}
    return [
        Chapter(row["accessed_at"], row["kind"], f"{words[row['kind']]} with grade {row['grade']}", row) for row in rows
    ]


def _replays(pg: Reader, key: dict[str, str]) -> list[Chapter]:
    rows = _rows(
        pg,
        "select cycle_at, priority, retention, need, stability_days, consolidation from memory.replays "
        "where memory_id = %(id)s and agent_id = %(agent)s order by cycle_at",
        key,
    )
    return [
        Chapter(
            row["cycle_at"],
            "replay",
            f"replayed in sleep: priority {number(row['priority'])} = (1 - {number(row['retention'])}) "
            f"x need {number(row['need'])}, with arousal; consolidation now {number(row['consolidation'])}",
            row,
        )
        for row in rows
    ]


def _decisions(pg: Reader, key: dict[str, str]) -> list[Chapter]:
    rows = _rows(
        pg,
        """
        select decided_at, decision, other_memory_id, inputs, threshold, result, stage from memory.decisions
        where memory_id = %(id)s and agent_id = %(agent)s and (is_current or result = 'revoked')
        order by decided_at
        """,
        key,
    )
    chapters = []
    for row in rows:
        words = decision_words(row, row["inputs"])
        if row["result"] == "revoked":
            words = f"no longer holds (a late event): {words}"
        chapters.append(Chapter(row["decided_at"], row["decision"], words, row))
    return chapters


def _now(row: dict[str, Any], at: datetime) -> str:
    if row["repeat_of"]:
        return f"Now: a repeat of {row['repeat_of']}, which it strengthens; look there."
    if row["stability_days"] is None:
        return "Now: not encoded yet."
    term = "long-term" if row["is_long_term"] else "not long-term"
    falls = row["falls_below_threshold_at"]
    when_forgotten = f"; below {number(row['forgetting_threshold'])} from {when(falls)} UTC if nothing happens"
    return (
        f"Now ({when(at)} UTC): {row['state']}, {term}; retention {number(row['retention'])}, stability "
        f"{number(row['stability_days'])} days, {row['access_count']} accesses"
        f"{when_forgotten if row['state'] == 'live' and falls else ''}."
    )


def _rows(pg: Reader, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    with pg.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()
