from __future__ import annotations

import time

import pytest
from biomem.demo.sentences import LONGEST, sentences


@pytest.mark.parametrize(
    "text",
    [
        "Went to Mr. Gunning's chapel with Mrs. Turner and Dr. Clerke.",
        "So with Sir W. Pen and Sir G. Carteret to the Exchequer.",
        "Gave the boy 5l. and Sir Wm. Batten 3s. for it.",
        'He preached on "Made of a woman," &c.; showing what is meant by the law.',
        "Down came Robt. Blackborne with the news.",
    ],
)
def test_a_short_form_does_not_end_a_sentence(text):
    assert sentences(text) == [text]


def test_each_sentence_is_a_memory_of_its_own():
    assert sentences("Up early. To the office! Was it late? So home and to bed.") == [
        "Up early.",
        "To the office!",
        "Was it late?",
        "So home and to bed.",
    ]


@pytest.mark.parametrize("heading", ["4th.", "March 1st.", "8th (Lord's day)."])
def test_a_bare_date_goes_with_the_sentence_after_it(heading):
    assert sentences(f"{heading} Rose betimes and walked. So to bed.") == [
        f"{heading} Rose betimes and walked.",
        "So to bed.",
    ]


def test_a_date_with_nothing_after_it_is_kept():
    assert sentences("31st.") == ["31st."]


@pytest.mark.parametrize("text", ["", "  \n ", "\u2003"])
def test_nothing_makes_no_memories(text):
    assert sentences(text) == []


def test_a_sentence_of_many_clauses_is_taken_apart_and_loses_only_space():
    long = "; ".join(f"clause number {n} tells of one more thing that day" for n in range(12)) + "."
    pieces = sentences(long)
    assert " ".join(pieces) == long
    assert max(map(len, pieces)) <= LONGEST


def test_a_long_word_salad_without_a_boundary_stays_whole():
    text = "x" * 5000
    assert sentences(text) == [text]


def test_other_scripts_pass_through():
    text = "الله يشفيها 🌷 she said."
    assert sentences(text) == [text]


def test_a_megabyte_takes_no_more_than_moments():
    begun = time.perf_counter()
    pieces = sentences("So home to supper, and to bed. " * 35_000)
    assert len(pieces) == 35_000
    assert time.perf_counter() - begun < 20


def test_a_megabyte_of_clauses_takes_no_more_than_moments():
    begun = time.perf_counter()
    sentences("and then another thing came to pass in the house; " * 20_000)
    assert time.perf_counter() - begun < 20
