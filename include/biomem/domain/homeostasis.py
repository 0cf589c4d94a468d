"""Homeostasis: synaptic scaling as a divisive normalisation (after Turrigiano 2008; the target is our own choice)."""

from __future__ import annotations

from biomem.domain.numbers import safe_divide


def synaptic_homeostasis(trace: float | None, mean_trace: float | None, *, homeostasis_target: float = 0.5) -> float:
    """A link's strength, in [0, 1], relative to its memory's mean link, which comes out at exactly the target.

    `H / (H + Hbar * (1 - T) / T)`: ranks are kept, and scaling every trace changes nothing. 0 without any trace.
    """
    held = trace or 0.0
    return safe_divide(held, held + (mean_trace or 0.0) * ((1 - homeostasis_target) / homeostasis_target))
