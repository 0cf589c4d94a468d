"""Of two statements, the later supersedes the earlier only where a rule can see that both cannot hold."""

from __future__ import annotations

from typing import Any

from biomem.warehouse.rebuild import verify
from lives import Life, day
from statements import BY_OTHERS, KEPT, SUPERSEDED

MODELS = ["stg_clock", "stg_memories", "memory_repeats", "memory_supersessions"]


def _told(memory_id: str, at: float, content: str, **columns: Any) -> dict[str, Any]:
    return {"memory_id": memory_id, "occurred_at": day(at), "content": content, **columns}


def _pair(number: int, first: str, second: str) -> list[dict[str, Any]]:
    return [
        _told(f"{number}-{order}", order, text, agent_id=f"agent-{number}", speaker="noor")
        for order, text in enumerate((first, second))
    ]


def test_what_rules_can_see_is_superseded_and_nothing_else(life: Life) -> None:
    pairs = [*SUPERSEDED, *KEPT]
    life.pull([memory for number, pair in enumerate(pairs) for memory in _pair(number, *pair)])
    life.pull(
        [
            _told(f"{number}-{order}", order, text, agent_id=f"agent-{number}", speaker=text[:3])
            for number, pair in enumerate(BY_OTHERS, len(pairs))
            for order, text in enumerate(pair)
        ]
    )
    life.run("short_term_memory", day(3), select=MODELS)
    found = life.rows("select memory_id, superseded_by from memory_supersessions where is_current and is_superseded")
    claimed = {int(memory_id.split("-")[0]) for memory_id, _ in found}
    missed = [pair for number, pair in enumerate(SUPERSEDED) if number not in claimed]
    wrong = [pair for number, pair in enumerate([*pairs, *BY_OTHERS]) if number in claimed and number >= len(SUPERSEDED)]
    assert not wrong, f"claimed without ground: {wrong}"
    assert not missed, f"not seen: {missed}"
    assert all(memory_id.endswith("-0") and by == memory_id[:-1] + "1" for memory_id, by in found)


def test_late_statements_edits_and_deletions_lead_to_the_same_state_as_a_rebuild(life: Life) -> None:
    life.pull([_told("a", 1, "The port is 8080."), _told("c", 3, "The port is now 9090.")])
    life.run("short_term_memory", day(4))
    assert _superseded(life) == {"a": ("c", day(3))}
    life.pull([_told("b", 2, "The port is no longer 8080."), _told("d", 3.5, "The port is 8080.")])
    life.run("short_term_memory", day(4))
    assert _superseded(life) == {"b": ("d", day(3.5)), "c": ("d", day(3.5))}
    life.pull(deleted={"d": day(4)})
    life.run("short_term_memory", day(5))
    assert _superseded(life) == {"a": ("b", day(2))}
    life.pull([_told("b", 2, "The port is 7070.", updated_at=day(5))])
    life.run("short_term_memory", day(6))
    assert _superseded(life) == {"a": ("b", day(2)), "b": ("c", day(3))}
    assert all(comparison.verdict != "different" for comparison in verify(life.settings))


def test_a_parameter_takes_it_all_back(life: Life) -> None:
    life.pull([_told("a", 1, "The port is 8080."), _told("b", 2, "The port is 9090.")])
    life.set_parameters(supersede_contradictions=False)
    life.run("short_term_memory", day(3), select=MODELS)
    assert _superseded(life) == {}


def _superseded(life: Life) -> dict[str, tuple[str, Any]]:
    rows = life.rows(
        "select memory_id, superseded_by, valid_to from memory_supersessions where is_current and is_superseded"
    )
    return {memory_id: (by, at) for memory_id, by, at in rows}
