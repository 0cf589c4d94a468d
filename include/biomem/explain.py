"""A memory's whole story in plain words, with the numbers that each decision rested on."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from biomem.errors import WarehouseError
from biomem.warehouse.connection import open_warehouse

if TYPE_CHECKING:
    import duckdb

    from biomem.settings import Settings

WAIT_S = 20.0
SHOWN_TEXT = 200
SUGGESTIONS = 3
SHOWN_ID = 80
GRADES = {1: "it failed", 2: "it was hard", 3: "it went well", 4: "it was easy"}


@dataclass(frozen=True)
class Chapter:
    """One thing that happened: when, what kind, in words, and the numbers behind it."""

    at: datetime
    what: str
    words: str
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Story:
    """What is known of one memory: its row, its state now, and the chapters in the order of time."""

    memory: dict[str, Any]
    state: dict[str, Any]
    now: str
    chapters: list[Chapter]

    def lines(self) -> list[str]:
        """The story as a person reads it."""
        text = (self.memory["content"] or "(no text)").replace("\n", " ")
        shown = text if len(text) <= SHOWN_TEXT else text[:SHOWN_TEXT] + "..."
        about = f"{self.memory['memory_id']}, a memory of {self.memory['agent_id']}"
        return [about, f"  {shown}", "", *(f"{when(c.at)}  {c.words}" for c in self.chapters), "", self.now]

    def as_dict(self) -> dict[str, Any]:
        """The story as plain data, instants in ISO 8601."""
        return {
            "memory": _plain(self.memory),
            "state": _plain(self.state),
            "now": self.now,
            "story": [
                {"at": c.at.isoformat(), "what": c.what, "words": c.words, "numbers": _plain(c.numbers)}
                for c in self.chapters
            ],
        }


def explain(settings: Settings, memory_id: str) -> Story:
    """The story of `memory_id`, up to where the stages have computed.

    Reads the warehouse, waiting a little for a run that is writing it. Raises WarehouseError when there is no
    warehouse, no such memory (naming similar ids), or nothing was computed yet.
    """
    with open_warehouse(settings, read_only=True, wait_s=WAIT_S, purpose="explain") as con:
        _require_models(con)
        memory = _one(con, "select * from stg_memories where memory_id = ?", memory_id)
        if memory is None:
            raise WarehouseError(_unknown(con, memory_id))
        trace = _one(con, "select * from memory_traces where memory_id = ?", memory_id) or {}
        worth = (
            _one(con, "select * from memory_retention where memory_id = ?", memory_id)
            if _has(con, "memory_retention")
            else None
        )
        chapters = [
            *_events(con, memory_id),
            *_replays(con, memory_id),
            *_decisions(con, memory_id),
            *_superseded(con, memory_id),
        ]
    order = sorted(range(len(chapters)), key=lambda n: (chapters[n].at, n))
    return Story(memory, {**trace, **(worth or {})}, _now(memory, trace, worth), [chapters[n] for n in order])


def _events(con: duckdb.DuckDBPyConnection, memory_id: str) -> list[Chapter]:
    events = _all(
        con,
        """
        select events.*, salience.* exclude (memory_id, agent_id, session_id, occurred_at, grade, first_words)
        from stg_events as events
        inner join stg_clock as clock on events.agent_id = clock.agent_id and clock.stage = 'short_term_memory'
        left join memory_salience as salience
            on events.source_memory_id = salience.memory_id and events.kind = 'encode'
        where (events.memory_id = $id or events.source_memory_id = $id) and events.occurred_at <= clock.as_of
        order by events.occurred_at, events.kind, events.event_id
        """,
        id=memory_id,
    )
    return [Chapter(event["occurred_at"], event["kind"], _event_words(event, memory_id), event) for event in events]


def _event_words(event: dict[str, Any], memory_id: str) -> str:
    source, kind = event["source_memory_id"], event["event_id"][0]
    through = "" if source == memory_id else f" through its repeat {source}"
    if kind == "e":
        where = f" in session {event['session_id']}" if event["session_id"] else ""
        return (
            f"encoded{where}: salience {number(event['salience'])} ({_salience_words(event)}) earns grade "
            f"{event['grade']:.3g} of 4; arousal {number(event['arousal'])}"
        )
    if kind == "m":
        return (
            f"repeats {event['memory_id']}: counted as a restudy of that"
            if source == memory_id
            else f"repeated by {source}: restudied"
        )
    if kind == "r":
        return f"edited{through}: restudied"
    done = "retrieved" if event["kind"] == "retrieve" else "met again"
    return f"{done}{through}: {GRADES[round(event['grade'])]}"


def _salience_words(event: dict[str, Any]) -> str:
    """What the salience of an encoding rests on."""
    if event["importance"] is not None:
        return "the importance that the source states"
    counts = {
        "time or number": event["times"],
        "name": event["names"],
        "word of the first person": event["first_person"],
    }
    told = [
        f"{event['told_words']} words, {event['new_words']} of them new",
        *(f"{count} {what if count == 1 else _plural(what)}" for what, count in counts.items() if count),
        *(["answers a question"] if event["is_answer"] else []),
    ]
    return ", ".join(told)


def _plural(what: str) -> str:
    first, *rest = what.split(" ", 1)
    return " ".join([f"{first}s", *rest]) if rest != ["or number"] else "times or numbers"


def _replays(con: duckdb.DuckDBPyConnection, memory_id: str) -> list[Chapter]:
    if not _has(con, "memory_replay"):
        return []
    replays = _all(
        con, "select * from memory_replay where memory_id = $id and is_current order by cycle_at", id=memory_id
    )
    return [
        Chapter(
            replay["cycle_at"],
            "replay",
            f"replayed in sleep: priority {number(replay['priority'])} = (1 - {number(replay['retention'])}) "
            f"x need {number(replay['need'])}, with arousal; consolidation now {number(replay['consolidation'])}",
            replay,
        )
        for replay in replays
    ]


def _decisions(con: duckdb.DuckDBPyConnection, memory_id: str) -> list[Chapter]:
    if not _has(con, "memory_ledger"):
        return []
    decisions = _all(
        con,
        """
        select * from memory_ledger
        where memory_id = $id and (is_current or result = 'revoked') and decision <> 'merge'
        """,
        id=memory_id,
    )
    chapters = []
    for decision in decisions:
        numbers = json.loads(decision["inputs"])
        words = decision_words(decision, numbers)
        if decision["result"] == "revoked":
            words = f"no longer holds (a late event): {words}"
        chapters.append(Chapter(decision["decided_at"], decision["decision"], words, {**decision, "inputs": numbers}))
    return chapters


def _superseded(con: duckdb.DuckDBPyConnection, memory_id: str) -> list[Chapter]:
    """What this memory has superseded."""
    rows = _all(
        con,
        """
        select old.valid_to, old.memory_id, old.subject, old.attribute, old.value as old_value, own.value
        from memory_supersessions as old
        inner join memory_supersessions as own on own.memory_id = old.superseded_by
        where old.superseded_by = $id and old.is_current and old.is_superseded
        order by old.memory_id
        """,
        id=memory_id,
    )
    return [
        Chapter(
            row["valid_to"],
            "supersedes",
            f"supersedes {row['memory_id']} ({_fact_words(row, row['old_value'])}): {_fact_words(row, row['value'])}",
            row,
        )
        for row in rows
    ]


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _fact_words(fact: dict[str, Any], value: str) -> str:
    return f"{fact['subject']} {fact['attribute']}: {value}"


def decision_words(decision: dict[str, Any], numbers: dict[str, Any]) -> str:
    """A decision of the ledger in plain words, with the numbers that it rested on."""
    at, threshold = decision["decided_at"].astimezone(timezone.utc), decision["threshold"]
    what = decision["decision"]
    if what == "demote" and "budget" in numbers:
        return (
            f"forgotten {at:%Y-%m-%d}: over the budget: rank {numbers['rank']} > {numbers['budget']} of "
            f"{numbers['memories']} memories, by retention {number(numbers['retention_expected'])} expected "
            f"{numbers['horizon_days']:g} days later (that night: {number(numbers['retention'])})"
        )
    if what == "demote":
        # DuckDB writes +00, which Python 3.10 does not read
        since = re.sub(r"([+-]\d\d)$", r"\1:00", numbers["last_accessed_at"])
        unused = at - datetime.fromisoformat(since).astimezone(timezone.utc)
        return (
            f"forgotten {at:%Y-%m-%d}: retention {_below(numbers['retention'], threshold)}, unused for "
            f"{number(unused.total_seconds() / 86400)} days at a stability of {number(numbers['stability_days'])} days"
        )
    if what == "restore":
        return "restored: it was accessed again"
    if what == "promote":
        return (
            f"promoted to long-term memory: consolidation {number(numbers['consolidation'])} >= {number(threshold)} "
            f"after {numbers['replays']} replay(s)"
        )
    if what == "prune":
        strength = number(numbers["strength"])
        return f"link to {decision['other_memory_id']} pruned: strength {strength} < {number(threshold)}"
    if what == "supersede":
        return (
            f"superseded by {decision['other_memory_id']}, which says otherwise; no longer holds: "
            f"{_fact_words(numbers, numbers['value'])}"
        )
    if what == "merge":
        return f"{decision['result']}: {numbers['kind']} repeat, similarity {number(numbers['similarity'])}"
    if what == "delete":
        return "deleted at the source"
    return f"{what}: {decision['result']}"


def _now(memory: dict[str, Any], trace: dict[str, Any], worth: dict[str, Any] | None) -> str:
    if not memory["is_live"]:
        return "Now: deleted at the source; it has no effect any more."
    if trace.get("repeat_of"):
        return (
            f"Now: a repeat of {trace['repeat_of']}, which it strengthens; see `biomem explain {trace['repeat_of']}`."
        )
    if not trace or trace.get("stability_days") is None:
        return "Now: not seen yet; it lies after the instant up to which short-term memory was computed."
    if worth is None:
        return f"Now: stability {number(trace['stability_days'])} days; no night has judged it yet."
    state = f"forgotten since {worth['demoted_at']:%Y-%m-%d}" if worth["is_forgotten"] else "live"
    term = "long-term" if worth["is_long_term"] else "not long-term"
    return (
        f"Now ({when(worth['as_of'])}): {state}, {term}; retention {number(worth['retention'])}, stability "
        f"{number(worth['stability_days'])} days; used {_times(worth['access_count'])} on {worth['days_used']} day(s)."
    )


def _unknown(con: duckdb.DuckDBPyConnection, memory_id: str) -> str:
    found = con.execute(
        """
        select memory_id from stg_memories
        order by levenshtein(left(memory_id, 100), left(?, 100)), memory_id
        limit 200
        """,
        [memory_id],
    ).fetchall()
    ids = [row[0] for row in found]
    near = difflib.get_close_matches(memory_id, ids, n=SUGGESTIONS, cutoff=0.3) or ids[:SUGGESTIONS]
    hint = f"; similar ids: {', '.join(near)}" if near else "; nothing was pulled yet"
    shown = memory_id if len(memory_id) <= SHOWN_ID else memory_id[:SHOWN_ID] + "..."
    return f"there is no memory {shown!r}{hint}"


def _require_models(con: duckdb.DuckDBPyConnection) -> None:
    if not (_has(con, "memory_traces") and _has(con, "memory_salience")):
        raise WarehouseError("nothing was computed yet by this version; run `biomem run short_term_memory` first")


def _has(con: duckdb.DuckDBPyConnection, model: str) -> bool:
    found = con.execute("select 1 from information_schema.tables where table_name = ?", [model]).fetchone()
    return found is not None


def _one(con: duckdb.DuckDBPyConnection, query: str, memory_id: str) -> dict[str, Any] | None:
    cursor = con.execute(query, [memory_id])
    row = cursor.fetchone()
    return dict(zip([column[0] for column in cursor.description], row, strict=True)) if row else None


def _all(con: duckdb.DuckDBPyConnection, query: str, **parameters: Any) -> list[dict[str, Any]]:
    cursor = con.execute(query, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def when(at: datetime) -> str:
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M}"


def number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.3f}".lstrip("0") if 0.001 <= abs(value) < 1 else f"{value:.3g}"


def _below(value: float, threshold: float) -> str:
    """`.598 < .600`, with as many digits as it takes to see the difference."""
    for digits in range(3, 16):
        shown, limit = (f"{number:.{digits}f}".lstrip("0") for number in (value, threshold))
        if shown != limit:
            break
    return f"{shown} < {limit}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value
