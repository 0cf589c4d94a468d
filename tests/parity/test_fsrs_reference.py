"""The fold is FSRS-6: Python and SQL against py-fsrs on random histories, and against a published history."""

from __future__ import annotations

import csv
import random
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from biomem.domain import retention as r
from biomem.settings import PROJECT_ROOT
from fsrs import Card, Rating, Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import duckdb

DAY_US = 86_400_000_000
REFERENCE_FLOOR_DAYS = 0.001
State = tuple[float, float]
History = list[tuple[float, int]]


def random_histories(count: int) -> list[History]:
    """Histories of (day, grade); py-fsrs counts whole days, so gaps are whole days or fall within one day."""
    chance = random.Random(20260301)
    histories = []
    for _ in range(count):
        day, history = 0.0, [(0.0, chance.randint(1, 4))]
        for _ in range(chance.randint(1, 25)):
            day += chance.choice([chance.randint(1, 3), chance.randint(1, 400), chance.choice([0.25, 0.5])])
            history.append((day, chance.choice([1, 2, 3, 3, 3, 4])))
        histories.append(history)
    return histories


def reference_states(history: History) -> list[State]:
    """(stability, difficulty) after each event by py-fsrs."""
    scheduler = Scheduler(learning_steps=(), relearning_steps=(), enable_fuzzing=False)
    start, card, states = datetime(2026, 1, 1, tzinfo=timezone.utc), Card(), []
    for day, grade in history:
        card, _ = scheduler.review_card(card, Rating(grade), start + timedelta(days=day))
        assert card.stability is not None
        assert card.difficulty is not None
        states.append((card.stability, card.difficulty))
    return states


def comparable(ours: list[State], reference: list[State]) -> list[tuple[State, State]]:
    """Pairs up to where the reference stops at .001 days: below that we go on to 1e-5: the two differ on purpose."""
    pairs = list(zip(ours, reference, strict=True))
    ends = next((step for step, (_, state) in enumerate(pairs) if state[0] <= REFERENCE_FLOOR_DAYS), len(pairs))
    return pairs[:ends]


@pytest.fixture(scope="module")
def histories() -> list[History]:
    return random_histories(1000)


@pytest.fixture(scope="module")
def references(histories: list[History]) -> list[list[State]]:
    return [reference_states(history) for history in histories]


def published_history() -> list[tuple[float, int, float, float]]:
    """(day, grade, stability as published, stability of the reference to all its digits)."""
    path = PROJECT_ROOT / "include" / "biomem" / "oracles" / "data" / "fsrs6.csv"
    with path.open(encoding="utf-8") as rows:
        return [
            (float(row["day"]), int(row["grade"]), float(row["published_days"]), float(row["reference_days"]))
            for row in csv.DictReader(rows)
        ]


@pytest.fixture(scope="module")
def fold_sql(tmp_path_factory: pytest.TempPathFactory, make_scratch_project: Callable[[Path], Any]) -> str:
    """The shipped fold over a table `histories`, as dbt renders it."""
    project = make_scratch_project(tmp_path_factory.mktemp("fold") / "dbt")
    project.project["macro-paths"] = [str(PROJECT_ROOT / "dbt" / "macros")]
    project.add_model(
        "folded",
        "with recursive {{ fold('folded', 'histories', steps='true') }} "
        "select memory_no, stability_days, difficulty from folded_steps order by memory_no, event_no",
    )
    return str(project.compiled()["folded"])


def fold_in_sql(con: duckdb.DuckDBPyConnection, sql: str, histories: list[History]) -> list[list[State]]:
    codes = [
        [round(day * DAY_US) * 16 + (3 + grade if number else 0) for number, (day, grade) in enumerate(history)]
        for history in histories
    ]
    grades = [history[0][1] for history in histories]
    numbers = list(range(len(histories)))
    con.register("arrow_histories", pa.table({"memory_no": numbers, "grade": grades, "events": codes}))
    con.execute(
        "create or replace temp table histories as "
        "select *, 0::double as arousal, events[-1] >> 4 as as_of_us from arrow_histories"
    )
    states: list[list[State]] = [[] for _ in histories]
    for memory, stability, difficulty in con.execute(sql).fetchall():
        states[memory].append((stability, difficulty))
    return states


def fold_in_python(history: History) -> list[State]:
    (last, grade), *events = history
    stability, difficulty = r.first_stability(grade, 0), r.first_difficulty(grade)
    states = [(stability, difficulty)]
    for day, grade in events:
        stability = r.next_stability(stability, difficulty, day - last, grade)
        difficulty = r.next_difficulty(difficulty, grade)
        last = day
        states.append((stability, difficulty))
    return states


def test_python_agrees_with_the_reference_on_a_thousand_random_histories(
    histories: list[History], references: list[list[State]]
) -> None:
    for history, reference in zip(histories, references, strict=True):
        for ours, theirs in comparable(fold_in_python(history), reference):
            assert ours == pytest.approx(theirs, rel=1e-9)


def test_the_sql_fold_agrees_with_the_reference_on_a_thousand_random_histories(
    con: duckdb.DuckDBPyConnection, fold_sql: str, histories: list[History], references: list[list[State]]
) -> None:
    for states, reference in zip(fold_in_sql(con, fold_sql, histories), references, strict=True):
        for ours, theirs in comparable(states, reference):
            assert ours == pytest.approx(theirs, rel=1e-9)


def test_python_and_the_sql_fold_give_the_published_stabilities(con: duckdb.DuckDBPyConnection, fold_sql: str) -> None:
    days, grades, published, reference = zip(*published_history(), strict=True)
    history = list(zip(days, grades, strict=True))
    in_python = [stability for stability, _ in fold_in_python(history)]
    in_sql = [stability for stability, _ in fold_in_sql(con, fold_sql, [history])[0]]
    assert in_sql == pytest.approx(reference, abs=1e-6)
    assert in_sql == pytest.approx(in_python, rel=1e-12)
    # the published figures have four decimals; what is carried beside them is what py-fsrs gives
    assert tuple(round(stability, 4) for stability in in_sql) == published
    assert [stability for stability, _ in reference_states(history)] == list(reference)
