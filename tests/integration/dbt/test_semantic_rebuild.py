"""The semantic models grow by runs, late arrivals and deletions; what they hold then is what a rebuild holds."""

from __future__ import annotations

import itertools
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lives import Life, day

if TYPE_CHECKING:
    from datetime import datetime

MODELS = (
    "memory_associations",
    "association_homeostasis",
    "concept_mentions",
    "concepts",
    "memory_concepts",
    "concept_associations",
    "communities",
    "gists",
    "ltm_semantic_network",
)
AGENTS = [f"agent-{number}" for number in range(8)]
PEOPLE = ["Anna", "Ben", "Clara", "Dora", "New York", "Old Tom"]
THINGS = ["garden", "violin", "harbour", "bakery", "letter", "mountain", "recipe", "train", "cellar", "orchard"]
SECOND = 1 / 86400


class RandomLife:
    """Memories and accesses of several agents, of which some arrive late, move, change or go."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.memories: dict[str, dict[str, Any]] = {}

    def text(self) -> str:
        who, where = self.random.sample(PEOPLE, 2)
        one, two = self.random.sample(THINGS, 2)
        return self.random.choice(
            [f"Met {who} by the {one}.", f"The {one} of {who} near the {two}. It was late.", f"{where}! {one} {two}?"]
        )

    def memory(self, agent: str, at: float) -> dict[str, Any]:
        name = f"{agent}/{len(self.memories)}"
        self.memories[name] = {
            "memory_id": name,
            "agent_id": agent,
            "session_id": self.random.choice([None, f"{agent}/s{int(at * 8)}", f"{agent}/all"]),
            "content": self.text(),
            "occurred_at": day(at),
            "updated_at": day(at),
            "tags": self.random.sample(["home", "work"], self.random.randint(0, 2)),
        }
        return self.memories[name]

    def batch(self, since: float, until: float) -> dict[str, Any]:
        """What one pull brings about days `since` to `until`, and late news of the days before."""
        changed: list[dict[str, Any]] = []
        for agent in AGENTS:
            for _ in range(6):
                start = self.random.choice([self.random.uniform(since, until), self.random.uniform(0, until)])
                for step in range(self.random.randint(1, 6)):
                    changed.append(self.memory(agent, min(start + step * self.random.uniform(0, 90) * SECOND, until)))
        earlier = [memory for memory in self.memories.values() if memory not in changed]
        for memory in self.random.sample(earlier, min(6, len(earlier))):
            changed.append(memory)
            memory["updated_at"] = day(self.random.uniform(since, until))
            if self.random.random() < 0.5:
                memory["content"] = self.text()
            else:
                memory["occurred_at"] = day(self.random.uniform(0, until))
        names = list(self.memories)
        accesses = [
            (name, day(self.random.choice([self.random.uniform(since, until), self.random.uniform(0, until)])))
            for name in self.random.choices(names, k=60)
        ]
        burst = day(self.random.uniform(since, until))
        accesses += [(name, burst) for name in self.random.sample(names, 40)]
        gone = self.random.sample([memory["memory_id"] for memory in earlier], min(4, len(earlier)))
        return {"memories": changed, "accesses": accesses, "deleted": dict.fromkeys(gone, day(until))}


def state(life: Life) -> dict[str, list[tuple[Any, ...]]]:
    return {model: life.rows(f"select columns(*)::varchar from {model} order by all") for model in MODELS}


def grow(life: Life, seed: int) -> datetime:
    source = RandomLife(seed)
    edges = [0.0, 1.1, 4.0, 9.5]
    for since, until in itertools.pairwise(edges):
        life.pull(**source.batch(since, until))
        life.run("short_term_memory", day(until))
        # one sleep dies before its last task, one is limited to an agent, one is for all
        life.run("consolidation", day(until), complete=until != 1.1, agent_id=AGENTS[0] if until == 4.0 else None)
    life.run("weekly_homeostasis", day(until))
    return day(until)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Life, datetime]:
    life = Life(tmp_path_factory.mktemp("grown"))
    return life, grow(life, seed=7)


def test_what_grew_step_by_step_equals_a_rebuild_to_the_last_bit(grown: tuple[Life, datetime]) -> None:
    life, as_of = grown
    before = state(life)
    for stage in ("short_term_memory", "consolidation", "weekly_homeostasis"):
        life.run(stage, as_of, full_refresh=True)
    after = state(life)
    for model in MODELS:
        assert before[model], f"{model} is empty: the comparison would say nothing"
        lost, made = set(before[model]) - set(after[model]), set(after[model]) - set(before[model])
        assert before[model] == after[model], f"{model}: only grown {sorted(lost)[:3]}, only rebuilt {sorted(made)[:3]}"


def test_homeostasis_holds_a_mean_link_at_the_target_and_keeps_ranks(grown: tuple[Life, datetime]) -> None:
    life, _ = grown
    only_links = life.rows(
        "select normalised_strength from association_homeostasis qualify count(*) over (partition by memory_id) = 1"
    )
    assert only_links
    assert all(strength == pytest.approx(0.5, rel=1e-12) for (strength,) in only_links)
    swapped = life.value(
        """
        select count(*) from association_homeostasis one join association_homeostasis other using (memory_id)
        where one.trace > other.trace * (1 + 1e-9) and one.normalised_strength < other.normalised_strength
        """
    )
    assert swapped == 0


def test_every_strength_stays_within_its_bounds(grown: tuple[Life, datetime]) -> None:
    life, _ = grown
    outside = life.value(
        """
        select count(*) from association_homeostasis where not (
            trace > 0 and strength between 0 and 1 and strength < 1 and normalised_strength between 0 and 1
            and not isnan(normalised_strength)
        )
        """
    )
    assert outside == 0
    assert life.value("select count(*) from memory_associations where not (trace > 0 and memory_a < memory_b)") == 0
    assert life.value("select max(rank) from memory_concepts") <= 5


def test_scaling_every_trace_changes_no_normalised_strength(grown: tuple[Life, datetime]) -> None:
    life, as_of = grown
    question = "select memory_id, associated_memory_id, normalised_strength from association_homeostasis order by all"
    before = life.rows(question)
    with life.open() as con:
        con.execute("update memory_associations set trace = trace * 1000")
    life.run("weekly_homeostasis", as_of, select=["association_homeostasis"])
    after = life.rows(question)
    with life.open() as con:
        con.execute("update memory_associations set trace = trace / 1000")
    assert [row[:2] for row in before] == [row[:2] for row in after]
    assert [row[2] for row in after] == pytest.approx([row[2] for row in before], rel=1e-12)


def test_no_memory_of_one_agent_is_bound_to_another_agents(grown: tuple[Life, datetime]) -> None:
    life, _ = grown
    strangers = "split_part(memory_a, '/', 1) != split_part(memory_b, '/', 1)"
    assert life.value(f"select count(*) from memory_associations where {strangers}") == 0


def test_what_was_deleted_or_only_repeats_has_no_part_in_the_network(grown: tuple[Life, datetime]) -> None:
    life, _ = grown
    absent = "(select memory_id from memory_repeats where not is_live or repeat_of is not null)"
    assert life.value(f"select count(*) from {absent}") > 0
    for model, column in (("association_homeostasis", "memory_id"), ("memory_concepts", "memory_id")):
        assert life.value(f"select count(*) from {model} where {column} in {absent}") == 0
