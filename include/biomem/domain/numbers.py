"""Small arithmetic that several equations share."""

from __future__ import annotations


def clamp(value: float, low: float, high: float) -> float:
    """`value` held between `low` and `high`, both included, in the units of the arguments."""
    return low if value < low else high if value > high else value


def safe_divide(numerator: float | None, denominator: float | None, default: float = 0.0) -> float:
    """`numerator / denominator`, or `default` where either is missing or the denominator is zero."""
    if numerator is None or denominator is None or denominator == 0:
        return default
    return numerator / denominator


def require_positive(name: str, value: float) -> None:
    """Raise ValueError naming the argument unless `value` is above zero (NaN is not)."""
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")
