from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
from biomem.demo.data import SAMPLE_LIFE
from biomem.demo.files import MemoryFile


@pytest.fixture(scope="module")
def life():
    return [row for path in sorted(SAMPLE_LIFE.glob("*.jsonl")) for row in MemoryFile(path).rows()]


def test_it_tells_thirteen_weeks_of_two_assistants_and_a_person(life):
    days = [row.occurred_at.date() for row in life]
    assert {row.agent_id for row in life} == {"ada", "milo", "noor"}
    assert (min(days), max(days)) == (date(2026, 3, 2), date(2026, 5, 31))
    assert 600 <= len(life) <= 800


def test_ids_are_unique_and_every_field_is_there(life):
    assert len({row.memory_id for row in life}) == len(life)
    assert all(row.content and row.session_id and row.speaker and row.tags for row in life)


def test_most_of_it_was_said_once_and_some_of_it_again(life):
    said = Counter(row.content for row in life)
    assert len(said) >= 450
    assert sum(count > 1 for count in said.values()) >= 5


def test_memories_are_used_after_they_were_made(life):
    accesses = [(row.occurred_at, access.accessed_at) for row in life for access in row.accesses]
    assert len(accesses) >= 400
    assert all(made <= used for made, used in accesses)
    assert {access.grade for row in life for access in row.accesses} == {1, 2, 3, 4}


def test_some_are_used_on_three_days_and_most_are_not(life):
    days = [len({row.occurred_at.date(), *(access.accessed_at.date() for access in row.accesses)}) for row in life]
    assert 0.10 <= sum(count >= 3 for count in days) / len(life) <= 0.30


def test_it_ends_with_more_than_working_memory_holds(life):
    end = max(row.occurred_at for row in life)
    recent = Counter(row.agent_id for row in life if row.occurred_at > end - timedelta(seconds=270))
    assert min(recent[agent] for agent in ("ada", "milo", "noor")) >= 7


def test_it_is_a_small_package():
    assert sum(path.stat().st_size for path in SAMPLE_LIFE.glob("*.jsonl")) < 200_000
