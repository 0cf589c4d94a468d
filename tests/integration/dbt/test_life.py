"""What becomes of single memories: the rules a person can check by hand, on the shipped models."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from biomem.errors import WarehouseError
from biomem.explain import explain
from lives import Life, day

LONG = (
    "on the way home we spoke at length about the garden behind the old school and the people who once "
    "planted the apple trees along its southern wall"
)


def _memory(memory_id: str, at: datetime, content: str | None = None, **columns: Any) -> dict[str, Any]:
    return {"memory_id": memory_id, "occurred_at": at, "content": content or f"about {memory_id}", **columns}


def test_a_life_of_use_neglect_and_return(life: Life) -> None:
    life.pull(
        [
            _memory("once", day(0.5)),
            _memory("daily", day(0.5)),
            _memory("back", day(0.5)),
            _memory("future", day(400)),
        ],
        [("daily", day(1.5)), ("daily", day(2.5)), ("back", day(200.5))],
    )
    life.live_to(day(6))
    assert life.rows("select memory_id from ltm_memories") == [("daily",)]

    life.live_to(day(201))
    states = dict(life.rows("select memory_id, is_forgotten from memory_retention order by 1"))
    assert states == {"once": True, "daily": False, "back": False}
    told = {(row[0], row[1]) for row in life.rows("select decision, memory_id from memory_ledger where is_current")}
    assert told == {("promote", "daily"), ("demote", "once"), ("demote", "back"), ("restore", "back")}
    retention, threshold = life.rows(
        "select (inputs->>'retention')::double, threshold from memory_ledger where memory_id = 'once'"
    )[0]
    assert retention < threshold == 0.6

    story = explain(life.settings, "back")
    assert [chapter.what for chapter in story.chapters] == ["encode", "demote", "retrieve", "restore"]
    assert any(re.search(r"forgotten 2026-\d\d-\d\d: retention \.5\d+ < \.60+", line) for line in story.lines())
    assert "live" in story.now
    with pytest.raises(WarehouseError, match="similar ids: daily"):
        explain(life.settings, "dayly")


def test_a_night_before_any_sleep_forgets_what_fades(life: Life) -> None:
    life.pull([_memory("once", day(0.5))])
    life.run("short_term_memory", day(300))
    life.run("nightly_decay", day(300))
    assert life.rows("select is_forgotten, is_long_term from memory_retention") == [(True, False)]
    assert life.rows("select decision from memory_ledger") == [("demote",)]


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        (LONG.upper() + "!", "exact"),
        (LONG + " too", "near"),
        (LONG.replace("the apple", "no apple"), None),
        (LONG.replace("apple trees", "7 apple trees"), None),
        (LONG.replace("apple", "pear"), None),
        (LONG.replace("garden behind the old school", "old school behind the garden"), None),
        (LONG + "?", None),
    ],
)
def test_only_a_text_that_says_the_same_is_a_repeat(life: Life, second: str, kind: str | None) -> None:
    life.pull([_memory("a", day(0), LONG), _memory("b", day(1), second)])
    life.run("short_term_memory", day(2), select=["memory_repeats", "stg_clock", "stg_memories"])
    assert life.value("select repeat_kind from memory_repeats where memory_id = 'b'") == kind


def test_texts_of_any_kind_pass_through(life: Life) -> None:
    old = datetime(1660, 1, 1, 21, tzinfo=timezone.utc)
    life.pull(
        [
            _memory("null", day(0)) | {"content": None},
            _memory("empty", day(0)) | {"content": ""},
            _memory("thumb", day(0), "👍"),
            _memory("heart", day(0), "❤️"),
            _memory("rtl", day(0), "זכרתי את הבית הישן"),
            _memory("huge", day(0), "word " * 200_000),
            *(_memory(f"pepys-{n}", old + timedelta(seconds=30 * n), agent_id="sam") for n in range(12)),
        ],
        [("pepys-0", old + timedelta(days=1)), ("pepys-0", old + timedelta(days=2)), ("thumb", day(-5))],
    )
    life.live_to(day(3))
    assert life.value("select count(*) from memory_repeats where repeat_of is not null") == 0
    assert life.value("select count(*) from memory_traces where stability_days is null or isnan(stability_days)") == 0
    windows = life.rows(
        "select window_start, count(*) filter (where is_in_working_memory) from stm_windows where agent_id = 'sam' "
        "group by 1 order by 1 limit 12"
    )
    assert windows[0] == (old, 1)
    assert windows[11] == (old + timedelta(seconds=330), 7)
    assert life.rows("select memory_id from ltm_memories") == [("pepys-0",)]


def test_an_access_brings_no_memory_to_mind_before_its_time(life: Life) -> None:
    life.pull([_memory("a", day(1)), _memory("b", day(1) - timedelta(seconds=100))], [("a", day(3))])
    life.run("short_term_memory", day(1))
    assert life.rows("select memory_id from wm_active_context order by rank") == [("a",), ("b",)]
    assert life.value("select access_count from memory_traces where memory_id = 'a'") == 1
    life.run("short_term_memory", day(3))
    assert life.rows("select memory_id from wm_active_context") == [("a",)]


def test_a_later_statement_supersedes_and_can_be_restored(life: Life) -> None:
    life.pull(
        [_memory("leiden", day(0), "Noor lives in Leiden."), _memory("utrecht", day(9), "Noor lives in Utrecht.")]
    )
    life.run("short_term_memory", day(10))
    superseded = (
        "select memory_id, superseded_by, valid_to from memory_supersessions where is_current and is_superseded"
    )
    assert life.rows(superseded) == [("leiden", "utrecht", day(9))]
    life.pull([_memory("again", day(11), "noor lives in Leiden now")])
    life.run("short_term_memory", day(12))
    assert life.rows(superseded) == [("utrecht", "again", day(11))]
    life.pull(deleted={"again": day(13)})
    life.run("short_term_memory", day(13))
    assert life.rows(superseded) == [("leiden", "utrecht", day(9))]


def test_an_agent_without_memories_and_an_empty_log_build(life: Life) -> None:
    life.live_to(day(1))
    assert life.value("select count(*) from memory_traces") == 0
    life.pull([_memory("only", day(0))])
    life.live_to(day(2))
    assert life.value("select count(*) from memory_retention where retention between 0 and 1") == 1
