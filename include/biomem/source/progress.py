"""How far a long pull has come: in the log by default, on the terminal when a person watches."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """One step of one source: `done` of about `total` rows, `seconds` after it was begun at `done_before` rows."""

    source: str
    step: str
    done: int
    total: int
    seconds: float
    done_before: int = 0

    @property
    def rows_per_s(self) -> float:
        return (self.done - self.done_before) / self.seconds if self.seconds > 0 else 0.0

    def describe(self) -> str:
        line = f"{self.source}: {self.step} {self.done:,} of {self.total:,} rows, {self.rows_per_s:,.0f} rows/s"
        if self.done >= self.total or not self.rows_per_s:
            return line
        left = timedelta(seconds=round((self.total - self.done) / self.rows_per_s))
        return f"{line}, {left} remaining"


Report = Callable[[Progress], None]


def log_progress(progress: Progress) -> None:
    """Where Airflow shows it: in the task's log."""
    log.info("%s", progress.describe())
