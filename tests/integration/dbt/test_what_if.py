"""Other parameters, tried on a life that was lived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from biomem.errors import ConfigurationError, WarehouseError
from biomem.parameters import load_parameters
from biomem.warehouse.context import STAGES
from biomem.whatif.record import summary
from biomem.whatif.trial import Question, take_copies, try_parameters
from lives import day

if TYPE_CHECKING:
    from pathlib import Path

    from biomem.whatif.trial import Trial
    from lives import Life

NIGHT = 20


@pytest.fixture
def lived(life: Life) -> Life:
    """Twelve memories of ada and two of bo; those with a low number were touched late."""
    ada = [
        {"memory_id": f"a{n}", "occurred_at": day(n / 4), "content": f"the cat number {n} sleeps on the stove"}
        for n in range(12)
    ]
    bo = [{"memory_id": f"b{n}", "agent_id": "bo", "occurred_at": day(n), "content": f"tea {n}"} for n in range(2)]
    accesses = [(f"a{n}", day(3 + n)) for n in range(6)]
    life.pull(ada + bo, accesses)
    for stage in STAGES:
        life.run(stage, day(NIGHT))
    return life


def tried(life: Life, folder: Path, **about) -> Trial:
    question = Question(**about)
    as_of = take_copies(life.settings, question, folder)
    return try_parameters(life.settings, question, folder, as_of)


def test_a_trial_of_one_agent_counts_what_a_memory_with_these_parameters_holds_and_changes_nothing(
    lived: Life, tmp_path: Path
) -> None:
    forgotten = "select memory_id from memory_retention where is_forgotten and agent_id = 'ada' order by 1"
    before = {memory for (memory,) in lived.rows(forgotten)}
    weights = load_parameters(lived.settings)["fsrs_weights"].value
    slower = {"fsrs_weights": [*weights[:20], 0.5], "forgetting_threshold": 0.8}
    trial = tried(lived, tmp_path / "trial", parameters=slower, agent_id="ada")
    assert {memory for (memory,) in lived.rows(forgotten)} == before
    assert not lived.settings.parameters_path.exists()
    assert trial.as_of == day(NIGHT)
    assert trial.parameters["forgetting_threshold"] == {"now": 0.6, "then": 0.8}
    assert trial.counts["memories"] == {"now": 12, "then": 12}, "bo is not in it"
    changed = [one for one in trial.oracles if one["now"]["value"] != one["then"]["value"]]
    assert any(not one["then"]["pass"] for one in changed)
    assert all(one["now"]["pass"] for one in trial.oracles)
    offered = summary(trial)
    assert f"| `fsrs_weights[20]` | {weights[20]} | 0.5 |" in offered
    assert "fsrs_weights[19]" not in offered, "of a list only what changes is told"
    assert "| `forgetting_threshold` | 0.6 | 0.8 |" in offered

    # the same, by way of the project's own file and an ordinary run
    lived.set_parameters(**slower)
    for stage in STAGES:
        lived.run(stage, day(NIGHT), full_refresh=True)
    after = {memory for (memory,) in lived.rows(forgotten)}
    assert after > before
    assert trial.counts["forgotten"] == {"now": len(before), "then": len(after)}
    assert trial.differences["forgotten"] == len(after - before)
    assert {one.memory_id for one in trial.examples if one.difference == "forgotten"} == after - before


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"parameters": {"forgetting_threshold": 0.6}}, "no parameter would change"),
        ({"parameters": {"forgetting_treshold": 0.5}}, "did you mean forgetting_threshold"),
        ({"parameters": {"forgetting_threshold": 9}}, "must be a number from 0.25 to 0.95"),
        ({"parameters": {"forgetting_threshold": 0.5}, "agent_id": "zoe"}, "known agents: 'ada', 'bo'"),
        ({"parameters": {"night_hour": 3}, "since": day(9), "as_of": day(8)}, "nothing would be counted"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_in_plain_words(
    life: Life, tmp_path: Path, about: dict, said: str
) -> None:
    life.pull([{"memory_id": "a", "occurred_at": day(0)}, {"memory_id": "b", "agent_id": "bo", "occurred_at": day(0)}])
    life.run("short_term_memory", day(1))
    with pytest.raises(ConfigurationError, match=said):
        tried(life, tmp_path / "trial", **about)


def test_without_a_run_there_is_nothing_to_compare(life: Life, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="nothing to compare yet"):
        take_copies(life.settings, Question({"night_hour": 3}), tmp_path / "trial")
