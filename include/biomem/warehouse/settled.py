"""Which models must come out the same when every stage runs once more, so that a stored row which does not was altered.

A stage has nothing to take up when its last run was completed for every agent, at one instant, with the present
parameters, after the last pull. A model of it is settled when so are all that it reads, and none of them was computed
again since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from biomem.parameters import params_hash
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.transform import lineage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biomem.settings import Settings
    from biomem.warehouse.transform import Model


def settled_models(settings: Settings) -> list[str]:
    """Names of the stored models (no views) that a repeated run of every stage must leave as they are, in order."""
    models, runs = lineage(settings), _last_runs(settings)
    known: dict[str, bool] = {}
    return sorted(name for name, model in models.items() if not model.is_view and _settled(name, models, runs, known))


def _settled(
    name: str, models: Mapping[str, Model], runs: Mapping[str, tuple[int, int]], known: dict[str, bool]
) -> bool:
    if name not in known:
        stage = models[name].stage
        known[name] = stage in runs and all(
            _settled(parent, models, runs, known)
            and (models[parent].stage == stage or runs[models[parent].stage][1] < runs[stage][0])
            for parent in models[name].parents
        )
    return known[name]


def _last_runs(settings: Settings) -> dict[str, tuple[int, int]]:
    """Of each stage with nothing to take up: the first and the last number of the runs that its agents are at."""
    with open_warehouse(settings) as con:
        rows = con.execute(
            """
            select stage, min(clock.begun_sequence), max(clock.begun_sequence)
            from raw.agent_clock as clock
            inner join raw.run_context as context using (stage)
            group by stage
            having
                bool_and(clock.completed_sequence = clock.begun_sequence)
                and bool_and(clock.as_of = context.as_of)
                and bool_and(clock.batch_upto >= (select coalesce(max(batch_id), 0) from raw.pulls))
                and bool_and(context.params_hash = ?)
            """,
            [params_hash(settings)],
        ).fetchall()
    return {stage: (first, last) for stage, first, last in rows}
