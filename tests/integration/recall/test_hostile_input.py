from __future__ import annotations

import psycopg
import pytest

QUESTIONS = [
    "",
    " ",
    None,
    "?!.,;:()[]{}<>-_=+*&^%$#@~`|\\/\"'",
    "'; drop table memory.memories; --",
    '"); delete from memory.access_log; --',
    "tea & !rain | (coffee:* <-> cake)",
    "tea:*A \\' :: <2>",
    "%s %(x)s {} $1 :name",
    "\u202e\u200b\ufeff",
    "🙂" * 500,
    "e\u0301" * 1000,
    "a" * 100_000,
    "tea " * 25_000,
    " ".join(f"word{i}" for i in range(12_000)),
    "31 February 2023 0000-99-99 99/99/9999 999 years ago last last year",
    "1 2 3 may may may 31 april 2099",
]


@pytest.fixture
def filled(target):
    target.remember("tea", "We drank tea in the rain and ate cake", session_id="s", speaker="Mara")
    target.remember("plain", "Nothing of note", minute=1, session_id="s", speaker="Ben")
    target.remember("secret", "Ben's tea is secret", agent_id="eve", session_id="s", speaker="Ben")
    return target


@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
def test_no_question_is_an_error_or_finds_what_is_another_agents(filled, question):
    assert "secret" not in filled.recall(question)
    assert filled.pg.execute("select count(*) from memory.memories").fetchone() == (3,)


def test_metacharacters_do_not_hide_the_words_between_them(filled):
    assert filled.recall("'); tea & !(rain) | <-> :* --")[0] == "tea"


def test_a_question_without_words_brings_nothing_back(filled):
    assert filled.recall("") == filled.recall("?") == filled.recall("the of and") == []


@pytest.mark.parametrize("agent_id", ["nobody", "", None, "ada' or '1'='1", "*", "%"])
def test_an_unknown_agent_has_no_memories(filled, agent_id):
    assert filled.recall("tea", agent_id) == []


@pytest.mark.parametrize(("k", "found"), [(0, 0), (-1, 0), (None, 0), (1, 1), (10_000, 2), (2_147_483_647, 2)])
def test_k_may_be_any_number(filled, k, found):
    assert len(filled.recall("tea note", k=k)) == found


def test_another_agents_id_in_the_question_opens_nothing(filled):
    assert filled.recall("secret eve Ben's tea agent_id='eve'", k=100) == ["plain", "tea"]


def test_a_way_of_forgetting_that_is_not_there_is_named(filled):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="cued, all or none, got 'sometimes'"):
        filled.recall("tea", forgotten="sometimes")


@pytest.mark.parametrize("at", ["infinity", "-infinity"])
def test_an_endless_as_of_is_refused_with_a_reason(filled, at):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="as_of must be an instant"):
        filled.recall("tea", as_of=at)


def test_a_vector_of_another_length_is_ignored(filled):
    assert (
        filled.recall("tea", query_embedding=[0.5, 0.5]) == filled.recall("tea", query_embedding=[]) == ["tea", "plain"]
    )


@pytest.mark.parametrize(
    ("content", "question"),
    [
        ("昨天我在北京吃了烤鸭", "北京烤鸭好吃吗"),
        ("明日は東京で会議があります", "東京の会議はいつ"),
        ("เมื่อวานฉันไปเชียงใหม่กับแม่", "ไปเชียงใหม่เมื่อไหร่"),
        ("어제 부산에서 친구를 만났다", "부산에서 누구를 만났어"),
        ("We won 🎉 today", "🎉"),
        ("Die Straße nach Köln war gesperrt", "STRASSE oder straße nach köln"),
        ("Она любит Москву", "москву"),
        ("She said “hello” — and don’t forget", "hello forget"),
        ("Wir trafen uns beim café", "CAFÉ"),
    ],
)
def test_any_language_is_found(target, content, question):
    target.remember("wanted", content)
    for number in range(5):
        target.remember(f"other-{number}", f"something else entirely, number {number}", minute=number + 1)
    assert target.recall(question)[0] == "wanted"


@pytest.mark.parametrize("content", ["", " ", None, "?!", "the", "\u202e", "x" * 300_000, "词" * 5_000, "w " * 500_000])
def test_no_content_breaks_the_index(target, content):
    target.remember("strange", content)
    target.remember("tea", "tea")
    assert target.recall("tea") == ["tea"]
