"""How fresh what is shown is: the last publication of each rhythm, and whether the next one is overdue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem_airflow.ui.reading import rows

if TYPE_CHECKING:
    from biomem_airflow.ui.reading import Reader, Row

# seconds between two runs, and how old the last publication may be before the next one counts as late
PERIODS_S = {"short_term_memory": 30, "consolidation": 5_400, "nightly_decay": 86_400, "weekly_homeostasis": 604_800}
PATIENCE_S = {"short_term_memory": 60, "consolidation": 900, "nightly_decay": 3_600, "weekly_homeostasis": 7_200}


def read(pg: Reader) -> list[Row]:
    """One row a rhythm, in the order of a day; `as_of` is null for one that never published."""
    found = rows(
        pg,
        """
        select s.stage, r.run_id, r.as_of, r.published_at, r.params_hash,
            extract(epoch from now() - r.published_at)::double precision as age_s,
            extract(epoch from r.published_at - r.as_of)::double precision as lag_s
        from unnest(%(stages)s::text[]) with ordinality as s (stage, place)
        left join lateral (
            select * from memory.runs where stage = s.stage order by sequence desc limit 1
        ) as r on true
        order by s.place
        """,
        {"stages": list(PERIODS_S)},
    )
    return [{**row, "period_s": PERIODS_S[row["stage"]], "is_late": _is_late(row)} for row in found]


def _is_late(row: dict[str, Any]) -> bool | None:
    if row["age_s"] is None:
        return None
    return bool(row["age_s"] > PERIODS_S[row["stage"]] + PATIENCE_S[row["stage"]])


def parameter(pg: Reader, name: str, otherwise: float) -> float:
    """A number among the parameters of the last published run."""
    found = rows(pg, "select memory.parameter(%(name)s) as value", {"name": name})[0]["value"]
    return otherwise if found is None else float(found)
