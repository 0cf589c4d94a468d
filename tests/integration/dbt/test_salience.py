"""What a text tells, and what was told before it, decides how well it is encoded; the order of arrival decides nothing."""

from __future__ import annotations

import pytest
from biomem.warehouse.rebuild import verify
from lives import Life, day

MODELS = ["stg_clock", "stg_memories", "memory_salience"]


def _told(memory_id: str, at: float, content: str | None, **columns: object) -> dict[str, object]:
    return {"memory_id": memory_id, "occurred_at": day(at), "content": content, "session_id": "s", **columns}


def _salience(life: Life) -> dict[str, tuple[object, ...]]:
    rows = life.rows(
        "select memory_id, new_words, told_words, times, names, first_person, is_answer, salience from memory_salience "
        "where is_current"
    )
    return {row[0]: row[1:] for row in rows}


def test_what_is_told_counts_and_what_is_asked_does_not(life: Life) -> None:
    life.pull(
        [
            _told("greeting", 0.1, "Mel: Hey, how are you?", speaker="Mel"),
            _told("answer", 0.2, "Caro: I met Anna Blake in Leiden yesterday, at 10. Did you sleep?", speaker="Caro"),
            _told("stated", 0.3, "Mel: The weather yesterday", importance=0.9),
            _told("null", 0.4, None),
            _told("thumb", 0.5, "👍"),
            _told("chinese", 0.6, "我昨天在公园里看见一只白色的猫"),
        ]
    )
    life.run("short_term_memory", day(1), select=MODELS)
    found = _salience(life)
    assert found["greeting"][:6] == (0, 0, 0, 0, 0, False)
    # anna, blake, leiden, yesterday; yesterday and 10; Anna Blake and Leiden; I
    assert found["answer"][:6] == (4, 4, 2, 2, 1, True)
    assert found["stated"][-1] == 0.9
    assert found["null"][-1] == found["thumb"][-1] == 0
    assert found["chinese"][0] == 7
    assert found["answer"][-1] > found["chinese"][-1] > found["greeting"][-1]


def test_a_word_is_new_only_to_the_first_that_tells_it_whatever_arrives_when(life: Life) -> None:
    life.pull([_told("b", 2, "the garden gate"), _told("c", 3, "garden shed"), _told("other", 1, "garden", agent_id="bo")])
    life.run("short_term_memory", day(4), select=MODELS)
    assert {key: row[0] for key, row in _salience(life).items()} == {"b": 2, "c": 1, "other": 1}
    life.pull([_told("a", 1, "an old garden?"), _told("a2", 1, "our garden")])
    life.run("short_term_memory", day(4), select=MODELS)
    assert {key: row[0] for key, row in _salience(life).items()} == {"a": 0, "a2": 1, "b": 1, "c": 1, "other": 1}
    assert _salience(life)["b"][5] is False
    assert _salience(life)["a2"][5] is True
    life.pull(deleted={"a2": day(4), "b": day(4)})
    life.run("short_term_memory", day(5), select=MODELS)
    found = _salience(life)
    assert {key: row[0] for key, row in found.items()} == {"a": 0, "c": 2, "other": 1}
    assert found["c"][5] is True


@pytest.mark.parametrize(
    "late", ["the garden gate was painted", pytest.param("Who painted the garden gate?", marks=pytest.mark.slow)]
)
def test_a_late_text_changes_the_first_stability_of_what_came_after_it(life: Life, late: str) -> None:
    life.pull([_told("b", 2, "We painted the garden gate"), _told("c", 2.1, "My garden is in bloom")])
    life.live_to(day(4))
    before = dict(life.rows("select memory_id, stability_days from memory_traces"))
    life.pull([_told("a", 1.9, late)])
    life.live_to(day(4))
    after = dict(life.rows("select memory_id, stability_days from memory_traces"))
    assert (after["b"] > before["b"]) == late.endswith("?")
    assert after["b"] != before["b"]
    assert after["c"] == before["c"]
    assert all(comparison.verdict != "different" for comparison in verify(life.settings))
