"""How well a memory is kept: FSRS-6 over days, Ebbinghaus for verbatim material, Murdock over seconds.

Sources: FSRS-6 (Ye 2024, the scheduler's published default weights); Ebbinghaus 1885 and Murre & Dros 2015; Murdock
1961; Wixted & Ebbesen 1991 for the power form. Grades are 1 again, 2 hard, 3 good, 4 easy.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, exp, log
from typing import TYPE_CHECKING

from biomem.domain.numbers import clamp, require_positive

if TYPE_CHECKING:
    from collections.abc import Sequence

FSRS6_WEIGHTS: tuple[float, ...] = (
    *(0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796),
    *(1.4835, 0.0614, 0.2629, 1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542),
)
"""Default weights w0 to w20 of FSRS-6: w0 to w3 first stabilities in days, w20 the exponent of forgetting."""

SALIENCE_WEIGHTS: tuple[float, ...] = (1.0, 0.5, 1.0, 0.5, 0.5, 1.5)
"""Weights of new words, all words, times and numbers, names, first person, and of answering a question."""

AGAIN, HARD, GOOD, EASY = 1, 2, 3, 4

MINIMUM_STABILITY_DAYS = 1e-5
MAXIMUM_STABILITY_DAYS = 36500.0

SECONDS_PER_DAY = 86400.0


def retention(elapsed_days: float, stability_days: float, *, weights: Sequence[float] = FSRS6_WEIGHTS) -> float:
    """Probability of recall, in (0, 1], after `elapsed_days`; .9 at one stability (FSRS-6).

    A negative delay (clock skew) counts as none. Raises ValueError unless `stability_days` is positive.
    """
    require_positive("stability_days", stability_days)
    exponent = weights[20]
    factor = 0.9 ** (-1 / exponent) - 1
    return float((1 + factor * max(elapsed_days, 0.0) / stability_days) ** -exponent)


def days_until_retention(stability_days: float, retention: float, *, weights: Sequence[float] = FSRS6_WEIGHTS) -> float:
    """Days after an access at which retention has fallen to `retention`, in (0, 1]: the inverse of `retention`.

    Raises ValueError unless `stability_days` is positive and `retention` lies in (0, 1].
    """
    require_positive("stability_days", stability_days)
    if not 0 < retention <= 1:
        raise ValueError(f"retention must be above 0 and at most 1, got {retention}")
    exponent = weights[20]
    factor = 0.9 ** (-1 / exponent) - 1
    return float(stability_days / factor * (retention ** (-1 / exponent) - 1))


def ebbinghaus_retention(elapsed_s: float, *, scale_per_s: float = 0.0772, exponent: float = 0.130) -> float:
    """Share of relearning saved, in (0, 1], after `elapsed_s`, as fitted to Ebbinghaus 1885."""
    return float((1 + scale_per_s * max(elapsed_s, 0.0)) ** -exponent)


def short_term_decay(elapsed_s: float, *, duration_s: float = 30.0) -> float:
    """What the short-term store alone still holds, in (0, 1], after `elapsed_s`.

    Its time constant is a fifth of the short-term memory's duration: 6 s (Murdock 1961).
    """
    return exp(-max(elapsed_s, 0.0) / (duration_s / 5))


def short_term_retention(elapsed_s: float, *, floor: float = 0.119, duration_s: float = 30.0) -> float:
    """Probability of recall, in [floor, 1], after `elapsed_s` with rehearsal prevented (Murdock 1961).

    The trace decays toward `floor`, what long-term memory gives.
    """
    return floor + (1 - floor) * short_term_decay(elapsed_s, duration_s=duration_s)


def recall_probability(elapsed_s: float, retention: float, *, duration_s: float = 30.0) -> float:
    """Probability, in [0, 1], that the short-term or the long-term store yields a memory `elapsed_s` after its access.

    The two stores are independent (Atkinson & Shiffrin 1968); `retention` is the long-term store's part.
    """
    return 1 - (1 - short_term_decay(elapsed_s, duration_s=duration_s)) * (1 - clamp(retention, 0.0, 1.0))


def salience(
    importance: float | None,
    new_words: int,
    told_words: int,
    times: int,
    names: int,
    first_person: int,
    is_answer: bool,
    *,
    salience_weights: Sequence[float] = SALIENCE_WEIGHTS,
    salience_full: float = 6.0,
) -> float:
    """How much an experience stands out, in [0, 1]: its stated importance, else what its text tells.

    The counts are of words (those the agent had not met before, and all), of times and numbers, of names and of words
    of the first person, in sentences that ask nothing; each adds its weight times `ln(1 + count)`, for the tenth name
    tells less than the first. An answer to a question adds its whole weight: it is what somebody wanted to know.
    `salience_full` is the sum at which salience is 1. An engineering choice, measured in decision 0006; that what is
    new is encoded better has its model in the novelty effect of von Restorff 1933.
    """
    if importance is not None:
        return clamp(importance, 0.0, 1.0)
    counts = (new_words, told_words, times, names, first_person)
    told = sum(weight * log(1 + max(count, 0)) for weight, count in zip(salience_weights, counts, strict=False))
    return clamp((told + salience_weights[5] * bool(is_answer)) / salience_full, 0.0, 1.0)


def salience_grade(
    salience: float, *, salience_hard: float = 0.25, salience_good: float = 0.5, salience_easy: float = 1.0
) -> float:
    """FSRS grade, 1 (again) to 4 (easy) with fractions between, that a salience in [0, 1] earns at encoding.

    Salience 0 earns 1; the three points earn 2, 3 and 4.
    """
    points = (0.0, salience_hard, salience_good, salience_easy)
    for grade, (low, high) in enumerate(pairwise(points), 1):
        if salience < high:
            return grade + max(salience - low, 0.0) / (high - low)
    return float(EASY)


def first_stability(
    grade: float, arousal: float | None, *, arousal_gain: float = 1.0, weights: Sequence[float] = FSRS6_WEIGHTS
) -> float:
    """Stability in days right after encoding: FSRS-6's w[grade-1], raised by arousal in [0, 1] (an engineering choice).

    Between whole grades it grows in equal ratios. Raises ValueError unless `grade` lies in [1, 4].
    """
    if not AGAIN <= grade <= EASY:
        raise ValueError(f"grade must lie between 1 (again) and 4 (easy), got {grade}")
    low = int(grade)
    days = weights[low - 1]
    if low < grade:
        days *= (weights[low] / weights[low - 1]) ** (grade - low)
    return max(days * (1 + arousal_gain * clamp(arousal or 0.0, 0.0, 1.0)), MINIMUM_STABILITY_DAYS)


def first_difficulty(grade: float, *, weights: Sequence[float] = FSRS6_WEIGHTS) -> float:
    """Difficulty, in [1, 10], right after encoding with `grade`, 1 to 4 with fractions between (FSRS-6)."""
    if not AGAIN <= grade <= EASY:
        raise ValueError(f"grade must lie between 1 (again) and 4 (easy), got {grade}")
    return clamp(_raw_first_difficulty(grade, weights), 1.0, 10.0)


def next_difficulty(difficulty: float, grade: int, *, weights: Sequence[float] = FSRS6_WEIGHTS) -> float:
    """Difficulty, in [1, 10], after an access: damped toward 10, drawn back to an easy start (FSRS-6)."""
    _require_grade(grade)
    moved = difficulty + (10 - difficulty) * (-weights[6] * (grade - 3)) / 9
    return clamp(weights[7] * _raw_first_difficulty(EASY, weights) + (1 - weights[7]) * moved, 1.0, 10.0)


def next_stability(
    stability_days: float,
    difficulty: float,
    elapsed_days: float,
    grade: int,
    *,
    weights: Sequence[float] = FSRS6_WEIGHTS,
) -> float:
    """Stability in days after an access `elapsed_days` since the last one (FSRS-6, with fractional days).

    Within a day only the short-term rule applies, and a success (grade 2 to 4) never lowers stability.
    Raises ValueError unless `stability_days` is positive and `grade` is 1 to 4.
    """
    require_positive("stability_days", stability_days)
    _require_grade(grade)
    w = weights
    if elapsed_days < 1:
        factor = exp(w[17] * (grade - 3 + w[18])) * stability_days ** -w[19]
        following = stability_days * (max(factor, 1.0) if grade > AGAIN else factor)
    else:
        lost = 1 - retention(elapsed_days, stability_days, weights=w)
        if grade == AGAIN:
            relearned = w[11] * difficulty ** -w[12] * ((stability_days + 1) ** w[13] - 1) * exp(lost * w[14])
            following = min(relearned, stability_days / exp(w[17] * w[18]))
        else:
            ease = w[15] if grade == HARD else w[16] if grade == EASY else 1.0
            gain = exp(w[8]) * (11 - difficulty) * stability_days ** -w[9] * (exp(lost * w[10]) - 1) * ease
            following = stability_days * (1 + gain)
    return float(max(following, MINIMUM_STABILITY_DAYS))


def restudy_stability(
    stability_days: float,
    difficulty: float,
    elapsed_days: float,
    grade: int = GOOD,
    *,
    restudy_rho: float = 0.5,
    weights: Sequence[float] = FSRS6_WEIGHTS,
) -> float:
    """Stability in days after meeting a memory again without having to recall it.

    The share `restudy_rho` of what a retrieval would have gained: testing beats restudy (Roediger & Karpicke 2006).
    Raises ValueError as `next_stability` does.
    """
    retrieved = next_stability(stability_days, difficulty, elapsed_days, grade, weights=weights)
    return stability_days * (1 + restudy_rho * (retrieved / stability_days - 1))


def replay_stability(stability_days: float, *, replay_stability_factor: float = 1.1) -> float:
    """Stability in days after one replay in sleep; replay alone never lifts it beyond a hundred years.

    The factor is an engineering choice. Raises ValueError unless `stability_days` is positive.
    """
    require_positive("stability_days", stability_days)
    return max(stability_days, min(stability_days * replay_stability_factor, MAXIMUM_STABILITY_DAYS))


def kept_within(memories: int, *, memory_budget: float | None = None) -> float | None:
    """How many of an agent's `memories` a budget keeps; None without one.

    A budget is a share above 0 up to 1.0, rounded up to whole memories, or a count (an int of at least 1).
    """
    if memory_budget is None:
        return None
    if isinstance(memory_budget, int):
        return float(min(memories, memory_budget))
    return float(ceil(memories * memory_budget - 1e-9))


def _raw_first_difficulty(grade: float, weights: Sequence[float]) -> float:
    return weights[4] - exp(weights[5] * (grade - 1)) + 1


def _require_grade(grade: int) -> None:
    if grade not in (AGAIN, HARD, GOOD, EASY):
        raise ValueError(f"grade must be 1 (again), 2 (hard), 3 (good) or 4 (easy), got {grade}")
