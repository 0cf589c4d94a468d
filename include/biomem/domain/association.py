"""Associations: a bounded Hebbian trace over co-activations. Rates are engineering choices inspired by Hebb 1949.

Not spike-timing plasticity: events of a text stream lie seconds apart, tens of its time constants.
"""

from __future__ import annotations

from math import exp

from biomem.domain.numbers import clamp


def coactivation(gap_s: float, *, coactivation_decay_s: float = 60.0) -> float:
    """How strongly two memories held together are bound, in (0, 1]: falls with the seconds between their accesses."""
    return exp(-abs(gap_s) / coactivation_decay_s)


def contiguity(lag: int, *, session_coactivation: float = 0.5) -> float:
    """Binding, in [0, 1], of two memories `lag` turns apart in one session: falls as one over the lag; 0 for itself.

    The form follows the lag-recency effect (Kahana 1996), the size is an engineering choice.
    """
    return session_coactivation / abs(lag) if lag else 0.0


def strengthen_associations(
    trace: float | None, coactivation: float | None, *, hebbian_learning_rate: float = 0.01
) -> float:
    """The trace after one more co-activation in [0, 1]: `H + eta * c`; a missing trace is none."""
    return (trace or 0.0) + hebbian_learning_rate * clamp(coactivation or 0.0, 0.0, 1.0)


def synaptic_decay(trace: float | None, hours: float, *, synaptic_decay_rate: float = 0.001) -> float:
    """What is left of a trace after `hours`: exponential; a negative delay counts as none."""
    return (trace or 0.0) * exp(-synaptic_decay_rate * max(hours, 0.0))


def calculate_hebbian_strength(trace: float | None) -> float:
    """Strength of an association, in [0, 1): `1 - exp(-H)` of a trace of at least 0."""
    return 1 - exp(-max(trace or 0.0, 0.0))
