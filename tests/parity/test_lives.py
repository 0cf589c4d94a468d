"""The models' closed forms against a life lived step by step: every event, every sleep cycle and every night in turn.

Sleep and nights are computed without visiting an instant at which nothing happens; here each is visited, in Python,
with the equations of `biomem.domain`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from biomem.domain import consolidation as c
from biomem.domain import retention as r
from biomem.warehouse.context import STAGES, begin_stage
from biomem.warehouse.schema import migrate
from rendered import Rendered

sys.path.insert(0, str(Path(__file__).parents[1] / "properties"))
from event_logs import DAY_S, Access, Log, Memory, instant, pull

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
CYCLE, NIGHT_HOUR = timedelta(minutes=90), 2
DAYS = 100
AS_OF = instant(DAYS * DAY_S)
IMPORTANCE = {1: 0.0, 2: 0.25, 3: 0.5, 4: 1.0}
KINDS = {"retrieve": 1, "restudy": 2}


@dataclass
class Mind:
    """One memory as it goes through time."""

    stability: float
    difficulty: float
    accessed: datetime
    arousal: float
    accesses: int = 1
    days_used: int = 1
    consolidation: float = 0.0
    replays: list[datetime] = field(default_factory=list)
    demoted: datetime | None = None

    def retention(self, at: datetime) -> float:
        return r.retention(self.elapsed(at), self.stability)

    def elapsed(self, at: datetime) -> float:
        return (at - self.accessed) / timedelta(days=1)

    def access(self, at: datetime, kind: str, grade: int) -> None:
        if kind == "retrieve":
            self.stability = r.next_stability(self.stability, self.difficulty, self.elapsed(at), grade)
            self.difficulty = r.next_difficulty(self.difficulty, grade)
        else:
            self.stability = r.restudy_stability(self.stability, self.difficulty, self.elapsed(at), grade)
        self.days_used += at.date() > self.accessed.date()
        self.accesses += 1
        self.accessed, self.demoted = at, None

    def sleep(self, at: datetime) -> None:
        """One cycle: a replay, unless it is long-term, was replayed that day, or has too little priority."""
        if c.consolidation_strength(self.consolidation) >= 0.7 or any(
            at.date() == past.date() for past in self.replays
        ):
            return
        need = c.replay_need(self.days_used, None)
        priority = c.replay_priority(self.retention(at), need, self.arousal)
        if priority >= 0.0001:
            self.consolidation += c.consolidation_gain(priority)
            self.stability = r.replay_stability(self.stability)
            self.replays.append(at)

    def judge(self, at: datetime) -> None:
        if self.demoted is None and self.retention(at) < 0.6:
            self.demoted = at


def lived(memory: Memory, accesses: list[Access]) -> Mind:
    grade = r.salience_grade(memory.importance)
    arousal = memory.arousal or 0.0
    mind = Mind(r.first_stability(grade, arousal), r.first_difficulty(grade), memory.occurred_at, arousal)
    told = memory.occurred_at
    # a replay due at the instant of an event comes before it, a night after it
    steps: list[tuple[datetime, int, int, Any]] = [
        (access.accessed_at, 1, KINDS[access.kind], access) for access in accesses if access.accessed_at <= AS_OF
    ]
    cycle = EPOCH + ((told - EPOCH) // CYCLE + 1) * CYCLE
    while cycle <= AS_OF:
        steps.append((cycle, 0, 0, None))
        cycle += CYCLE
    night = told.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    while night <= AS_OF:
        if night >= told:
            steps.append((night, 2, 0, None))
        night += timedelta(days=1)
    for at, what, _, access in sorted(steps, key=lambda step: (*step[:3], step[3].grade if step[3] else 0)):
        if what == 0:
            mind.sleep(at)
        elif what == 1:
            mind.access(at, access.kind, access.grade)
        else:
            mind.judge(at)
    return mind


def some_lives() -> Log:
    """Memories of an agent each, so that none is associated: met once, often, on one day, at one instant."""
    chance = Random(20260301)
    memories, accesses = [], []
    counts = [0, 0, 1, 2, 3, 3, 4, 5, 6, 8, 9, 10, 12, 20, 64, 70] + [chance.randint(0, 12) for _ in range(20)]
    for number, count in enumerate(counts):
        start = chance.choice([0, chance.randrange(20 * DAY_S), 90 * 60 * chance.randrange(300)])
        grade = chance.randint(1, 4)
        memories.append(
            Memory(
                f"m{number}",
                f"agent {number}",
                instant(start),
                content=f"note {number}",
                importance=IMPORTANCE[grade],
                arousal=chance.choice([0.0, 0.5, 1.0]),
            )
        )
        at = float(start)
        for step in range(count):
            longest = 2 * (DAYS * DAY_S - start) / count
            gap = chance.choice([0, 60, 3600, DAY_S, 1.1 * DAY_S, chance.uniform(0, longest), 90 * 60])
            at += gap if count < 60 else min(gap, DAY_S)
            kind, of = chance.choice(["retrieve", "retrieve", "restudy"]), chance.randint(1, 4)
            accesses.append(Access(f"a{number}-{step}", f"m{number}", f"agent {number}", instant(round(at)), kind, of))
    return Log(tuple(memories), tuple(accesses))


@pytest.fixture(scope="module")
def built() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(config={"threads": 2})
    con.execute("set TimeZone = 'UTC'")
    migrate(con)
    pull(con, some_lives())
    for stage in STAGES:
        begin_stage(con, stage, run_id="run", as_of=AS_OF, params_hash="test")
    Rendered().build(con, "memory_replay", "memory_retention")
    return con


def test_every_life_ends_as_one_lived_step_by_step(built: duckdb.DuckDBPyConnection) -> None:
    log = some_lives()
    rows = built.execute(
        """
        select memory_id, stability_days, difficulty, last_accessed_at, access_count, days_used, consolidation,
            is_long_term, retention, is_forgotten, demoted_at,
            (
                select coalesce(list(cycle_at order by cycle_at), []) from memory_replay as replays
                where replays.memory_id = retained.memory_id and is_current
            )
        from memory_retention as retained
        """
    ).fetchall()
    found = {name: state for name, *state in rows}
    assert len(found) == len(log.memories)
    for memory in log.memories:
        mind = lived(memory, [access for access in log.accesses if access.memory_id == memory.memory_id])
        strength = c.consolidation_strength(mind.consolidation)
        stability, difficulty, accessed, *counts = found[memory.memory_id]
        assert (stability, difficulty) == pytest.approx((mind.stability, mind.difficulty), rel=1e-9), memory.memory_id
        assert [accessed, *counts[:2]] == [mind.accessed, mind.accesses, mind.days_used], memory.memory_id
        consolidation, is_long_term, retention, is_forgotten, demoted_at, replays = counts[2:]
        assert replays == mind.replays, memory.memory_id
        assert consolidation == pytest.approx(strength, rel=1e-9)
        assert is_long_term == (strength >= 0.7)
        assert retention == pytest.approx(mind.retention(AS_OF), rel=1e-9)
        assert (is_forgotten, demoted_at) == (mind.demoted is not None, mind.demoted), memory.memory_id


def test_the_lives_include_what_can_become_of_a_memory(built: duckdb.DuckDBPyConnection) -> None:
    kinds = "is_long_term, is_forgotten, lapses[1].restored_at is not null"
    assert len(built.execute(f"select distinct {kinds} from memory_retention").fetchall()) >= 5


@pytest.mark.parametrize(
    ("sequences", "written"),
    [({}, 0), ({"short_term_memory": 4}, 4), ({"short_term_memory": 2, "consolidation": 5}, 6)],
)
def test_what_a_stage_writes_lies_above_every_run_that_has_begun(sequences: dict[str, int], written: int) -> None:
    con = duckdb.connect()
    migrate(con)
    for stage, sequence in sequences.items():
        con.execute(
            "insert into raw.run_context by name select ? as stage, 'r' as run_id, now() as as_of, 'h' as params_hash, "
            "? as sequence",
            [stage, sequence],
        )
    assert con.execute(f"select {Rendered()('write_sequence', 'short_term_memory')}").fetchall() == [(written,)]
