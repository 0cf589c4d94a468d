"""A memory budget demotes what is worth least, says so with its arithmetic, and gives back what is used again."""

from __future__ import annotations

import json
from typing import Any

from biomem.explain import explain
from biomem.warehouse.rebuild import verify
from lives import Life, day


def _memory(memory_id: str, at: float, **columns: Any) -> dict[str, Any]:
    return {"memory_id": memory_id, "occurred_at": day(at), "content": f"about {memory_id}", **columns}


def _forgotten(life: Life) -> list[str]:
    return [row[0] for row in life.rows("select memory_id from memory_retention where is_forgotten order by 1")]


def test_a_count_keeps_what_will_last_and_what_is_used_comes_back(life: Life) -> None:
    life.set_parameters(memory_budget=2)
    life.pull(
        [
            _memory("a-dull", 0.2, importance=0.1),
            _memory("b-dull", 0.2, importance=0.1),
            _memory("c-fair", 0.3, importance=0.5),
            _memory("d-vital", 0.1, importance=0.9),
            _memory("other", 0.1, agent_id="bo"),
        ]
    )
    life.live_to(day(2))
    assert _forgotten(life) == ["a-dull", "b-dull"]
    ranked = life.rows(
        "select memory_id, inputs, threshold, decided_at from memory_ledger where decision = 'demote' order by 1"
    )
    assert [(row[0], json.loads(row[1])["rank"], row[2], row[3]) for row in ranked] == [
        ("a-dull", 3, 2.0, day(1) + (day(1 / 12) - day(0))),
        ("b-dull", 4, 2.0, day(1) + (day(1 / 12) - day(0))),
    ]
    assert any("over the budget: rank 3 > 2 of 4 memories" in line for line in explain(life.settings, "a-dull").lines())

    life.pull(accesses=[("b-dull", day(2.5)), ("b-dull", day(3.5)), ("b-dull", day(6.5)), ("b-dull", day(12.5))])
    life.live_to(day(13.5))
    assert _forgotten(life) == ["a-dull", "c-fair"]
    told = life.rows("select decision, memory_id from memory_ledger where is_current and memory_id = 'b-dull' order by decided_at")
    assert told[:2] == [("demote", "b-dull"), ("restore", "b-dull")]
    assert all(comparison.verdict != "different" for comparison in verify(life.settings))


def test_a_share_grows_with_the_memories_and_equals_go_by_id(life: Life) -> None:
    life.set_parameters(memory_budget=0.5)
    life.pull([_memory(f"m{number}", 0.1) for number in range(5)])
    life.live_to(day(2))
    assert _forgotten(life) == ["m3", "m4"]
    life.pull([_memory(f"n{number}", 2.1) for number in range(5)])
    life.live_to(day(4))
    assert len(_forgotten(life)) == 5


def test_no_budget_demotes_nothing_early(life: Life) -> None:
    life.pull([_memory(f"m{number}", 0.1) for number in range(5)])
    life.live_to(day(2))
    assert _forgotten(life) == []
