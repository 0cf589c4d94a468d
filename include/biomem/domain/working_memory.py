"""What comes to mind: ACT-R activation, used to rank what is attended to and to predict how readily it is recalled.

Sources: Anderson 1974, 1981; Anderson & Lebiere 1998 (base level, spreading activation, retrieval time); Petrov 2006
(hybrid approximation); Miller 1956 and Cowan 2001 (capacity). Activation is in natural-log units, ages in seconds.
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING

from biomem.domain.numbers import clamp

if TYPE_CHECKING:
    from collections.abc import Sequence

COWAN_CAPACITY = 4

MINIMUM_AGE_S = 0.05
"""One cycle of cognition in ACT-R: an access cannot be younger, which keeps its activation finite."""

RETENTION_MARGIN = 1e-9
"""Retention is held this far from 0 and 1 before its logit is taken."""


def working_memory_capacity(profile: str, capacity: int = 7) -> int:
    """Items held at once: `capacity` for profile miller, 4 for cowan; raises ValueError for any other."""
    if profile == "miller":
        return capacity
    if profile == "cowan":
        return COWAN_CAPACITY
    raise ValueError(f"working memory profile must be miller or cowan, got {profile!r}")


def base_level(
    access_count: int, first_age_s: float, last_ages_s: Sequence[float], *, base_level_decay: float = 0.5
) -> float | None:
    """Base-level activation `ln(sum of age^-d)`: the last accesses exactly, the older ones spread evenly (Petrov 2006).

    None for a memory without an access. Ages below 50 ms count as 50 ms.
    """
    if access_count < 1:
        return None
    ages = [max(age, MINIMUM_AGE_S) for age in last_ages_s]
    exact = sum((age**-base_level_decay for age in ages), 0.0)
    older = access_count - len(ages)
    if older <= 0:
        return log(exact)
    oldest_exact = max(ages, default=MINIMUM_AGE_S)
    first = max(first_age_s, oldest_exact)
    if first > oldest_exact:
        rest = 1 - base_level_decay
        mean = (first**rest - oldest_exact**rest) / (rest * (first - oldest_exact))
    else:
        mean = oldest_exact**-base_level_decay
    return log(exact + older * mean)


def fan_strength(fan: float, *, association_ceiling: float = 1.45) -> float:
    """Activation that one cue lends to each of the `fan` memories it leads to, at least 0 (Anderson 1974)."""
    return max(0.0, association_ceiling - log(max(fan, 1.0)))


def accessibility(
    retention: float, spread: float | None, *, recall_threshold: float = -2.0, activation_noise: float = 0.5
) -> float:
    """Activation of a memory that is recalled with probability `retention` without a cue, plus what cues `spread`."""
    held = clamp(retention, RETENTION_MARGIN, 1 - RETENTION_MARGIN)
    return recall_threshold + activation_noise * log(held / (1 - held)) + (spread or 0.0)


def activation_probability(
    activation: float, *, recall_threshold: float = -2.0, activation_noise: float = 0.5
) -> float:
    """Probability, in [0, 1], that an activation exceeds the recall threshold under logistic noise."""
    return 1 / (1 + exp(clamp(-(activation - recall_threshold) / activation_noise, -700.0, 700.0)))


def retrieval_latency(
    activation: float, *, latency_intercept_s: float = 0.845, latency_factor_s: float = 0.613
) -> float:
    """Seconds until a memory of this activation is recalled: `I + F * exp(-A)` (Anderson 1974)."""
    return latency_intercept_s + latency_factor_s * exp(clamp(-activation, -700.0, 700.0))
