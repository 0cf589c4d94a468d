"""What one oracle says: the value it measured, the bound it must meet, and what it was computed with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Subject:
    """Published data and the part of the model that is held against them.

    `in_sample` says whether a constant of the model was fitted to these very data. `confidence` is that of the
    published figures: high from the authors' own tables, medium where only orderings and rough sizes may be trusted.
    `model` names the dbt model that computes with `macros`; `note` says where the model is wrong all the same.
    """

    dataset: str
    source: str
    in_sample: bool
    model: str
    macros: tuple[str, ...]
    confidence: str = "high"
    note: str = ""


@dataclass(frozen=True)
class Oracle:
    """One measure of the model on one data set; `low` and `high` bound `value`, both included."""

    subject: Subject
    measure: str
    value: float
    n: int
    parameters: dict[str, Any]
    low: float | None = None
    high: float | None = None
    r2: float | None = None
    rmse: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the value lies within its bounds; NaN never does."""
        above = self.low is None or self.value >= self.low
        below = self.high is None or self.value <= self.high
        return above and below and self.value == self.value

    @property
    def bound(self) -> str:
        """The bound in signs: `>= 0.97`, `<= 0.02`, or `3 to 4`."""
        if self.low is None:
            return f"<= {self.high:g}"
        return f">= {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"

    def as_dict(self) -> dict[str, Any]:
        """Flat fields for JSON, `bound` and `pass` among them."""
        fields = asdict(self)
        return {**fields.pop("subject"), **fields, "bound": self.bound, "pass": self.passed}
