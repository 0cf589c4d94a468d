"""Consolidation: which memories sleep replays, and when they have become long-term.

Inspired by prioritised replay (Mattar & Daw 2018: gain times need) and by the odds of being needed again, which rise
with the days on which something was needed before (Anderson & Schooler 1991). The rates are calibrated engineering
choices.
"""

from __future__ import annotations

from math import exp

from biomem.domain.numbers import clamp


def replay_need(
    days_used: float, reach: float | None, *, need_half_days: float = 3.0, need_steepness: float = 10.0
) -> float:
    """How likely a memory is to be needed again, in [0, 1).

    `days_used` counts the different days it was used on: none or one gives 0, `need_half_days` gives .5.
    `reach`, in [0, 1], is the strength of its associations, which raises the odds by up to their double.
    """
    beyond_first = max(days_used - 1, 0.0) / (need_half_days - 1)
    odds = beyond_first**need_steepness * (1 + clamp(reach or 0.0, 0.0, 1.0))
    return float(odds / (1 + odds))


def association_reach(neighbours: int | None, *, session_coactivation: float = 0.5) -> float:
    """How far a memory is bound to others, in [0, 1]: the contiguity with its neighbours in the session it was told in.

    There are none, one or two of them on the day of its telling, so that it is known before anything is replayed.
    Source: form after Kahana 1996, who found neighbours recalled together most.
    """
    return clamp((neighbours or 0) * session_coactivation, 0.0, 1.0)


def replay_priority(retention: float, need: float, arousal: float | None) -> float:
    """Priority of a replay, in [0, 2]: what is fading (gain) and needed goes first, the emotional before the rest."""
    return (1 - clamp(retention, 0.0, 1.0)) * clamp(need, 0.0, 1.0) * (1 + clamp(arousal or 0.0, 0.0, 1.0))


def consolidation_gain(priority: float, *, consolidation_rate: float = 1500.0) -> float:
    """What one replay of this priority adds to the consolidation sum K (unitless)."""
    return consolidation_rate * max(priority, 0.0)


def consolidation_strength(consolidation_sum: float | None) -> float:
    """How far a memory is consolidated, in [0, 1): `1 - exp(-K)`; a memory never replayed has 0."""
    return 1 - exp(-max(consolidation_sum or 0.0, 0.0))
