"""The bench an oracle runs on: the published tables and the shipped macros."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

from biomem.oracles.macros import EquationMacros
from biomem.oracles.result import Oracle, Subject
from biomem.oracles.tables import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biomem.settings import Settings

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Fit:
    """How close predictions come to observations, without refitting anything."""

    n: int
    rmse: float
    r2: float
    correlation: float

    @classmethod
    def of(cls, pairs: Sequence[Row]) -> Fit:
        """From (observed, predicted) pairs, at least two, neither side constant."""
        n = len(pairs)
        mean_observed, mean_predicted = (sum(side) / n for side in zip(*pairs, strict=True))
        residual = sum((observed - predicted) ** 2 for observed, predicted in pairs)
        observed_spread = sum((observed - mean_observed) ** 2 for observed, _ in pairs)
        predicted_spread = sum((predicted - mean_predicted) ** 2 for _, predicted in pairs)
        shared = sum((observed - mean_observed) * (predicted - mean_predicted) for observed, predicted in pairs)
        return cls(
            n, sqrt(residual / n), 1 - residual / observed_spread, shared / sqrt(observed_spread * predicted_spread)
        )


class Bench:
    """Runs SQL over the published tables; `bench.equations(...)` renders a shipped macro."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.equations = EquationMacros(settings)
        self.connection = connect()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[Row]:
        """All rows of a query over the published tables."""
        return self.connection.execute(sql, parameters or {}).fetchall()

    def judge(
        self,
        subject: Subject,
        measure: str,
        value: float,
        *,
        n: int,
        low: float | None = None,
        high: float | None = None,
        fit: Fit | None = None,
    ) -> Oracle:
        """The oracle for a measured value, with the vars that its macros read and the errors of the fit, if any."""
        return Oracle(
            subject=subject,
            measure=measure,
            value=value,
            n=n,
            parameters=self.equations.parameters_of(*subject.macros),
            low=low,
            high=high,
            r2=fit.r2 if fit else None,
            rmse=fit.rmse if fit else None,
        )
