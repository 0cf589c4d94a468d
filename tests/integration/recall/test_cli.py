from __future__ import annotations

import json

import pytest
from biomem.cli import build
from click.testing import CliRunner


@pytest.fixture
def run(target, tmp_path, monkeypatch):
    monkeypatch.setenv("BIOMEM_SOURCE_DSN", target.pg.info.dsn)
    monkeypatch.setenv("BIOMEM_EMBEDDINGS", "none")
    monkeypatch.setenv("BIOMEM_HOME", str(tmp_path / "home"))

    def invoke(*arguments: str, **options):
        return CliRunner().invoke(build(), ["recall", *arguments], **options)

    return invoke


def accesses(target):
    return [row[0] for row in target.pg.execute("select memory_id from memory.access_log order by 1").fetchall()]


def test_a_question_is_answered_and_what_it_brings_back_is_strengthened(target, run):
    target.remember("m1", "a heron by the lake")
    target.remember("m2", "a tractor", minute=900)
    result = run("Where was the heron?")
    assert result.exit_code == 0, result.output
    assert "a heron by the lake" in result.output
    assert "words" in result.output
    assert accesses(target) == ["m1"]
    answers = json.loads(run("heron", "--json", "--no-log", "-k", "1").output)
    assert [answer["memory_id"] for answer in answers] == ["m1"]
    numbers = [value for name, value in answers[0]["parts"].items() if name != "state"]
    assert answers[0]["score"] == pytest.approx(sum(numbers))
    assert accesses(target) == ["m1"]


def test_whose_memories_must_be_told_where_there_are_several(target, run):
    target.remember("m1", "a heron")
    target.remember("m2", "a heron", agent_id="eve")
    result = run("heron")
    assert "whose memories? name one of the agents with --agent: ada, eve" in str(result.exception)
    assert "m2" in run("heron", "--agent", "eve").output


def test_a_file_of_questions_is_answered_line_by_line_and_bad_lines_are_named(target, run, tmp_path):
    target.remember("m1", "a heron")
    target.remember("m2", "a heron", agent_id="eve")
    lines = [
        '{"question_id": "q1", "agent_id": "ada", "question": "heron?"}',
        "",
        "not json",
        '{"question_id": 7, "agent_id": "eve", "question": "heron?", "category": "x"}',
        '{"question_id": "q3", "agent_id": "ada"}',
        "[1, 2]",
        '{"question_id": "q4", "agent_id": "nobody", "question": "heron?"}',
        '{"question_id": "q5", "agent_id": "ada", "question": "\\u0000\\ud800"}',
        "[" * 100_000,
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(lines))
    result = run("--questions", str(file), "-k", "20", "--json", "--no-log")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert answers == [
        {"question_id": "q1", "memory_ids": ["m1"]},
        {"question_id": "7", "memory_ids": ["m2"]},
        {"question_id": "q4", "memory_ids": []},
        {"question_id": "q5", "memory_ids": []},
    ]
    assert [text.split(":")[0] for text in result.stderr.splitlines()] == ["line 3", "line 5", "line 6", "line 9"]
    assert "question is missing" in result.stderr
    assert "4 line(s) hold no question" in str(result.exception)
    assert accesses(target) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "one of the two"),
        (("heron", "--questions", "x"), "one of the two"),
        (("--questions", "/nowhere.jsonl"), "/nowhere.jsonl cannot be read"),
        (("heron", "--as-of", "yesterday"), "is no instant"),
    ],
)
def test_a_wrong_call_is_told_what_to_do(run, arguments, told):
    assert told in str(run(*arguments).exception)


def test_nothing_published_yet_is_told(run, target):
    target.pg.execute("drop schema memory cascade")
    assert "nothing was published yet" in str(run("heron", "--agent", "ada").exception)
    assert "nothing was published yet" in str(run("heron").exception)


def test_no_k_is_an_error(target, run):
    target.remember("m1", "a heron")
    assert "nothing comes back" in run("heron", "-k", "0", "--no-log").output
    assert run("heron", "-k", "10000", "--no-log").exit_code == 0
