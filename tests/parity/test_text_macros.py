"""What the macros read out of texts: equal texts, word pairs, stated facts, names and words."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import pytest
from rendered import Rendered

if TYPE_CHECKING:
    import duckdb


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    return Rendered()


def value(con: duckdb.DuckDBPyConnection, expression: str, x: Any, kind: str = "varchar") -> Any:
    return con.execute(f"select {expression} from (select $x::{kind} as x)", {"x": x}).fetchall()[0][0]


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("  Hello,   World! ", "hello, world"),
        ("(“Hello”)  'World'.", "hello world"),
        ("It’s 3.14, not -2?", "it's 3.14 not -2?"),
        ("Cafe\u0301 \u00a0 x…", "caf\u00e9 x"),
        ("said (he) [so] «there»", "said he so there"),
        ("...", None),
        (None, None),
    ],
)
def test_texts_are_compared_without_what_says_nothing(
    text: str | None, normalised: str | None, rendered: Rendered, con: duckdb.DuckDBPyConnection
) -> None:
    found = value(con, rendered("normalised_text", "x"), text)
    assert found == (normalised and normalised.replace("hello, world", "hello world"))


# the macros without their looks at whether there is anything to do
PLAIN = {
    "normalised_text": """
        nullif(trim(regexp_replace(regexp_replace(regexp_replace(
            lower(nfc_normalize(translate(x, '’‘ʼ', ''''''''))), '[\\s\\p{Z}\\x{200e}\\x{200f}\\x{feff}]+', ' ', 'g'
        ), '(^| )["“”„«»(\\['']+', '\\1', 'g'), '[.,;:!…"“”«»)\\]'']+( |$)', '\\1', 'g')), '')""",
    "read_names": """
        regexp_extract_all(regexp_replace(
            left(translate(coalesce(x, ''), chr(2) || chr(10), '  '), 20000),
            '(^|[.!?:;…。！？]["”’'')]*\\s)(["“‘''(]*)(\\p{Lu})', '\\1\\2' || chr(2) || '\\3', 'g'
        ), '(?:^|[^\\pL\\pM\\pN])\\p{Lu}[\\pL\\pM]+(?:[ -]\\p{Lu}[\\pL\\pM]+)*')""",
    "told_text": """
        regexp_replace(
            case when starts_with(x, 'A:') then substring(x, 3, 10000) else left(x, 10000) end,
            '[^.!?…。！？؟\\n]*[?？؟]+', ' ', 'g'
        )""",
}


@pytest.mark.parametrize("macro", PLAIN)
def test_nothing_is_left_out_where_there_is_something_to_do(
    macro: str, rendered: Rendered, con: duckdb.DuckDBPyConnection
) -> None:
    # each three of what the rules know and of what might pass for it, in any order, around words that are names
    pieces = [
        *(" ", "\n", "\t", "\x0b", "\x02", "\u00a0", "\u2000", "\u2028", "\u200e", "\ufeff", "\u200b", "\0", "\u0301"),
        *("'", "’", "‘", "ʼ", '"', "“", "(", "]", ".", "…", ":", "A:", "?", "？", "؟", "\u037e", "。"),
        *("Ann", "Ñu", "ß", "é", "x", "😀"),
    ]
    guarded = rendered(macro, "x", *(["'A'"] if macro == "told_text" else []))
    different = con.execute(
        f"""
        select x, {guarded} as found, {PLAIN[macro]} as plain
        from (
            select a || b || c || d as x
            from unnest($pieces) as first (a), unnest($pieces) as second (b), unnest($pieces) as third (c),
                unnest(['', 'Bob', ' Bob z']) as last (d)
        )
        where found is distinct from plain
        """,
        {"pieces": pieces},
    ).fetchmany(3)
    assert not different


def test_word_pairs_are_numbers_of_which_the_longest_sort_first(
    rendered: Rendered, con: duckdb.DuckDBPyConnection
) -> None:
    pairs = value(con, rendered("shingles", "x"), ["a", "bb", "a", "bb", "c" * 300], "varchar[]")
    assert len(pairs) == 3
    assert [255 - (pair >> 56) for pair in pairs] == [255, 3, 3]
    hashes = {value(con, "hash(x) >> 8", text, "varchar") for text in ("a bb", "bb a", "bb " + "c" * 300)}
    assert {pair & ((1 << 56) - 1) for pair in pairs} == hashes
    assert value(con, rendered("shingles", "x"), ["alone"], "varchar[]") == []


@pytest.mark.parametrize("similarity", [0.5, 0.95, 1.0])
def test_as_many_pairs_are_looked_up_as_a_similar_text_must_share_one_of(
    similarity: float, con: duckdb.DuckDBPyConnection
) -> None:
    expression = Rendered(repeat_similarity=similarity)("prefix_length", "x")
    for count in (1, 7, 19, 20, 21, 40, 100, 1000):
        # of n pairs at least ceil(similarity * n) are shared: one more than those that may differ finds one
        assert value(con, expression, count, "bigint") == count - ceil(round(similarity * count, 9)) + 1


@pytest.mark.parametrize(
    ("sentence", "fact"),
    [
        ("my favorite ice cream is lemon now", ("", "favourite ice cream", "lemon")),
        ("anna's favourite colour is now deep red", ("anna", "favourite colour", "deep red")),
        ("my phone number is 555", ("", "phone number", "555")),
        ("old tom's boss is ben", ("old tom", "boss", "ben")),
        ("i now live in leiden", ("", "lives in", "leiden")),
        ("noor has just moved to the hague", ("noor", "lives in", "hague")),
        ("i work for acme", ("", "works at", "acme")),
        ("anna works at acme now", ("anna", "works at", "acme")),
        ("i prefer tea to coffee", ("", "prefers among coffee and tea", "tea")),
        ("ben prefers coffee over tea", ("ben", "prefers among coffee and tea", "coffee")),
        ("i lived in leiden", None),
        ("my favourite song", None),
    ],
)
def test_a_rule_sees_a_fact_or_nothing(
    sentence: str, fact: tuple[str, str, str] | None, rendered: Rendered, con: duckdb.DuckDBPyConnection
) -> None:
    found = value(con, rendered("stated_fact", "x"), sentence)
    assert (found and (found["subject"], found["attribute"], found["value"])) == fact


def test_numbers_and_denials_decide_between_texts(rendered: Rendered, con: duckdb.DuckDBPyConnection) -> None:
    words = ["it", "isn't", "7", "but", "never", "the", "twice", "told", "tale", "of", "ohne", "x9"]
    assert value(con, rendered("decisive_words", "x"), words, "varchar[]") == [
        *("isn't", "7", "never", "twice", "ohne", "x9"),
    ]


def test_names_are_capitals_in_a_row_and_marked_where_they_open_a_sentence(
    rendered: Rendered, con: duckdb.DuckDBPyConnection
) -> None:
    text = 'Today Anna met Old Tom-Lee. "Grey Hall" was shut! (Then Ben\nleft.) He saw Mary'
    names = [name.strip(' "(\n') for name in value(con, rendered("read_names", "x"), text)]
    assert names == ["\x02Today Anna", "Old Tom-Lee", "\x02Grey Hall", "\x02Then Ben", "\x02He", "Mary"]
    # a mark in the text itself, and what lies beyond 20,000 characters, are not read
    assert value(con, rendered("read_names", "x"), "so \x02Anna came") == [" Anna"]
    assert value(con, rendered("read_names", "x"), None) == []
    assert value(con, rendered("read_words", "x"), "a\x02b c\nd É1x") == ["a", "b", "c", "d", "é", "x"]
    assert len(value(con, rendered("read_words", "x"), "ab " * 10_000)[-1]) == 2
    assert len(value(con, rendered("read_words", "x"), "a " * 10_001)) == 10_000
    assert value(con, "x in " + rendered("stop_words"), "yourselves") is True


def test_a_name_goes_on_in_the_next_line(rendered: Rendered, con: duckdb.DuckDBPyConnection) -> None:
    assert [name.strip() for name in value(con, rendered("read_names", "x"), "they met Old\nTom there")] == ["Old Tom"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Bo: It rains. Why? Who knows", " It rains.  Who knows"),
        ("Bob: It rains", "Bob: It rains"),
        ("Bo:Здравствуй？", " "),
        ("Bo:" + "x" * 10_001, "x" * 10_000),
        ("y" * 10_001, "y" * 10_000),
        (None, None),
    ],
)
def test_what_a_text_tells_is_what_it_does_not_ask_without_its_speaker(
    text: str | None, told: str | None, rendered: Rendered, con: duckdb.DuckDBPyConnection
) -> None:
    assert value(con, rendered("told_text", "x", "'Bo'"), text) == told


def test_neighbours_stand_beside_a_memory_in_its_session_on_its_day(
    rendered: Rendered, con: duckdb.DuckDBPyConnection
) -> None:
    lines = [("s", 1), ("s", 1), ("s", 1), ("s", 2), ("t", 2), (None, 2), (None, 2)]
    found = con.execute(
        f"select {rendered('count_neighbours')} from (select unnest($sessions::varchar[]) as session_id, "
        "unnest($days::integer[]) as day, generate_subscripts($days, 1) as line) "
        "window session_order as (partition by session_id order by line) order by line",
        {"sessions": [session for session, _ in lines], "days": [day for _, day in lines]},
    ).fetchall()
    assert [count for (count,) in found] == [1, 2, 1, 0, 0, 0, 0]
