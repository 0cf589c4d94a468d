"""Health: how late, how much, what was forgotten last night, and what the numbers were computed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem_airflow.ui.reading import rows
from biomem_airflow.ui.views import clock

if TYPE_CHECKING:
    from biomem_airflow.ui.reading import Reader

NIGHTS = 30
LAGS = 240
RUNS = 20


def view(pg: Reader, agent: str | None) -> dict[str, Any]:
    """Of one agent or all; what counts whole tables says up to when it was counted."""
    key = {"agent": agent}
    layers = rows(
        pg,
        """
        select h.layer, h.metric, max(h.measured_at) as measured_at,
            case when h.metric like 'mean%%' then null when h.metric = 'lag_s' then min(h.value) else sum(h.value) end
                as value
        from memory.health as h
        join (
            select agent_id, max(measured_at) as measured_at from memory.health
            where layer <> 'nights' group by agent_id
        ) as newest on newest.agent_id = h.agent_id and newest.measured_at = h.measured_at
        where h.layer <> 'nights' and (%(agent)s::text is null or h.agent_id = %(agent)s)
        group by h.layer, h.metric
        order by h.layer, h.metric
        """,
        key,
    )
    nights = rows(
        pg,
        f"""
        select measured_at as night, metric, sum(value) as value
        from memory.health
        where layer = 'nights' and (%(agent)s::text is null or agent_id = %(agent)s)
            and measured_at > (select max(measured_at) from memory.health where layer = 'nights')
                - interval '{NIGHTS} days'
        group by measured_at, metric
        order by measured_at, metric
        """,
        key,
    )
    lags = rows(
        pg,
        f"""
        select as_of, extract(epoch from published_at - as_of)::double precision as lag_s, run_id
        from memory.runs where stage = 'short_term_memory' order by sequence desc limit {LAGS}
        """,
    )
    runs = rows(
        pg,
        f"""
        select stage, run_id, as_of, published_at, rows_written, rows_deleted, params_hash
        from memory.runs order by sequence desc limit {RUNS}
        """,
    )
    parameters = rows(
        pg,
        "select name, value, unit, allowed, meaning, source, basis, as_of from memory.parameters order by name",
    )
    changes = rows(
        pg,
        """
        select params_hash, min(published_at) as first_published_at, max(published_at) as last_published_at,
            count(*)::integer as runs
        from (select * from memory.runs order by sequence desc limit 10000) as recent
        group by params_hash order by 2 desc limit 10
        """,
    )
    return {
        "clock": clock.read(pg),
        "layers": layers,
        "nights": nights,
        "lags": lags[::-1],
        "runs": runs,
        "parameters": parameters,
        "parameter_changes": changes,
    }
