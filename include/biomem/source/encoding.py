"""Emotional arousal of a text, computed once when the text arrives."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

# VADER is made for sentences and takes time with the square of the length: .01 s at 1,000 characters, 1 s at 10,000
SCORED_CHARACTERS = 1_000


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def text_arousal(content: str) -> float:
    """How strong a feeling the text voices, [0, 1], pleasant or not: the absolute compound score of VADER.

    Reads the first 1,000 characters. 0 for an empty text and for languages that VADER's English lexicon does not know.
    A pure function of the text. Source: Hutto & Gilbert 2014, VADER (ICWSM).
    """
    return abs(float(_analyzer().polarity_scores(content[:SCORED_CHARACTERS])["compound"]))
