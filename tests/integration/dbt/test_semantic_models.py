"""What single semantic models say of small lives whose answer is known by hand."""

from __future__ import annotations

import sys
from math import exp
from pathlib import Path
from typing import Any

import pytest
from biomem.domain.association import calculate_hebbian_strength, coactivation, contiguity, synaptic_decay

sys.path.insert(0, str(Path(__file__).parent))
from lives import Life, day

SECOND = 1 / 86400
RATE = 0.01


def memory(name: str, at: float, content: str | None = None, **columns: Any) -> dict[str, Any]:
    return {"memory_id": name, "occurred_at": day(at), "updated_at": day(at), "content": content or name, **columns}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Four agents, each a question of its own: `turns`, `texts`, `topics`, and `lone` with one memory."""
    life = Life(tmp_path_factory.mktemp("semantic"))
    life.live_to(day(0))  # nothing was pulled yet
    assert life.value("select count(*) from memory_associations") == 0
    turns = [
        memory("t/one", 1, "the first of three", agent_id="turns", session_id="t/s"),
        memory("t/three", 1 + 60 * SECOND, "something else again", agent_id="turns", session_id="t/s"),
        memory("t/two", 1 + 30 * SECOND, "what stands between", agent_id="turns", session_id="t/s"),
        memory("t/stranger", 20, "nobody was near this", agent_id="turns"),
    ]
    texts = [
        memory("x/1", 1, "Yesterday we saw Mary Ann in the old harbour.", agent_id="texts"),
        memory("x/2", 2, "Mary Ann left the harbour", agent_id="texts", tags=["  Travel ", ""]),
        memory("x/3", 3, "\u6211\u4eca\u5929\u5f88\u9ad8\u5174" * 400, agent_id="texts"),
        memory(
            "x/4", 4, "'; drop table raw.memories; -- {{ 7 * 7 }} \x02 %s \U0001f600 " + "A" * 50_000, agent_id="texts"
        ),
        memory(
            "x/5",
            5,
            "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
            agent_id="texts",
            tags=None,
        ),
        {**memory("x/6", 6, agent_id="texts"), "content": None},
    ]
    topics = [
        memory(f"p/{topic}{number}", 3 + number / 10, " ".join(words), agent_id="topics", tags=words)
        for topic, clique in (("g", ["garden", "rose", "spade"]), ("m", ["violin", "concert", "bow"]))
        for number, words in enumerate([clique, clique[:2], clique[1:], [clique[0], clique[2]], clique])
    ]
    life.pull([*turns, *texts, *topics, memory("lone/1", 1, "alone", agent_id="lone")])
    life.live_to(day(30))
    return life


def trace(life: Life, memory_a: str, memory_b: str) -> float | None:
    rows = life.rows("select trace from memory_associations where memory_a = ? and memory_b = ?", memory_a, memory_b)
    return rows[0][0] if rows else None


def test_neighbours_in_a_session_are_bound_more_than_those_near_in_time_alone(life: Life) -> None:
    assert trace(life, "t/one", "t/two") == pytest.approx(RATE * min(1, coactivation(30) + contiguity(1)), rel=1e-12)
    assert trace(life, "t/one", "t/three") == pytest.approx(RATE * coactivation(60), rel=1e-12)
    assert trace(life, "t/one", "t/stranger") is None


def test_a_trace_decays_to_as_of_only_where_it_is_read(life: Life) -> None:
    held, strength, at = life.rows(
        "select trace, strength, (epoch(as_of) - epoch(last_coactive_at)) / 3600 from association_homeostasis "
        "where memory_id = 't/one' and associated_memory_id = 't/two'"
    )[0]
    stored = trace(life, "t/one", "t/two")
    assert stored is not None
    assert held == pytest.approx(synaptic_decay(stored, at), rel=1e-9)
    assert strength == pytest.approx(calculate_hebbian_strength(held), rel=1e-9)


def test_a_weak_link_is_pruned_on_a_sunday_and_a_strong_one_is_not(life: Life) -> None:
    rows = life.rows(
        "select associated_memory_id, is_pruned, strftime(pruned_at, '%A %H:%M') from association_homeostasis "
        "where memory_id = 't/one' order by 1"
    )
    assert rows == [("t/three", True, "Sunday 03:00"), ("t/two", False, None)]


def test_an_agent_with_one_memory_has_neither_associations_nor_a_community(life: Life) -> None:
    for model in ("memory_associations", "association_homeostasis", "concept_associations", "communities", "gists"):
        assert life.value(f"select count(*) from {model} where agent_id = 'lone'") == 0


def test_names_tags_and_terms_are_told_apart(life: Life) -> None:
    kinds = dict(life.rows("select concept, kind from concepts where agent_id = 'texts'"))
    assert kinds["mary ann"] == "name"
    assert kinds["travel"] == "tag"
    assert kinds["harbour"] == "term"
    assert "yesterday" not in kinds
    assert "" not in kinds


def test_no_concept_outgrows_its_bounds_whatever_the_text(life: Life) -> None:
    assert life.value("select max(length(concept)) from concept_mentions") <= 64
    assert life.value("select count(*) from concept_mentions where memory_id = 'x/6'") == 0
    assert life.value("select count(*) from concept_mentions where memory_id = 'x/3'") == 1


def test_two_separate_topics_are_two_communities_with_a_gist_each(life: Life) -> None:
    found = life.rows(
        "select list_sort(terms), medoid_memory_id, memories from gists where agent_id = 'topics' order by 1"
    )
    assert found == [
        (["bow", "concert", "violin"], "p/m0", 4),
        (["garden", "rose", "spade"], "p/g0", 4),
    ]


def test_every_use_of_a_memory_is_a_coactivation_of_its_concepts(life: Life) -> None:
    held, used, memories = life.rows(
        "select trace, coactivations, memories from concept_associations "
        "where concept_a = 'garden' and concept_b = 'rose'"
    )[0]
    expected = RATE * sum(exp(-0.001 * 2.4 * (4 - number)) for number in (0, 1, 4))
    assert (used, memories) == (3, 2)  # the last one repeats the first
    assert held == pytest.approx(expected, rel=1e-9)


def test_health_counts_what_has_no_content_and_how_far_behind_the_agent_is(life: Life) -> None:
    health = {
        (layer, metric): value
        for layer, metric, value in life.rows("select layer, metric, value from memory_health where agent_id = 'texts'")
    }
    assert health["staging", "memories"] == 6
    assert health["staging", "skipped"] == 1
    assert health["staging", "lag_s"] == 24 * 86400


def test_the_curves_start_at_one_and_only_fall(life: Life) -> None:
    assert life.rows("select curve, max(retention) from retention_curve group by 1 having max(retention) != 1") == []
    rising = life.value(
        "select count(*) from retention_curve as one join retention_curve as other using (curve) "
        "where one.elapsed_s < other.elapsed_s and one.retention < other.retention"
    )
    assert rising == 0
