"""Forgetting curves for any delays, from the shipped macros."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from biomem.oracles.macros import EquationMacros
from biomem.warehouse.connection import without_progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biomem.settings import Settings


def predict_retention(
    settings: Settings, profile: str, seconds: Sequence[float], stability_days: float | None = None
) -> list[float]:
    """Predicted retention, in [0, 1], after each delay in seconds.

    `profile` is fsrs, ebbinghaus or short_term; fsrs takes `stability_days`, by default that of a first "good"
    encoding.
    """
    equations = EquationMacros(settings)
    stability = f"{stability_days!r}::double" if stability_days is not None else equations("first_stability", "3", "0")
    curves = {
        "fsrs": equations("retention", "elapsed_s / 86400", stability),
        "ebbinghaus": equations("ebbinghaus_retention", "elapsed_s"),
        "short_term": equations("short_term_retention", "elapsed_s"),
    }
    with without_progress_bar(duckdb.connect(config={"threads": 1})) as connection:
        rows = connection.execute(
            f"select {curves[profile]} from (select unnest($seconds::double[]) as elapsed_s)",
            {"seconds": list(seconds)},
        ).fetchall()
    return [float(retained) for (retained,) in rows]
