"""What if: what was tried with other parameters, and how each memory would have fared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import HTTPException

from biomem_airflow.ui.reading import one, rows
from biomem_airflow.ui.views import clock

if TYPE_CHECKING:
    from biomem_airflow.ui.reading import Reader

SHOWN = 20
SHOWN_TEXT = 300
WEIGHTS, EXPONENT = "fsrs_weights", 20


def view(pg: Reader, run_id: str | None) -> dict[str, Any]:
    """The newest trials, and one of them whole: `run_id`, or the newest."""
    trials = rows(
        pg,
        f"""
        select run_id, agent_id, as_of, computed_at, asked_by, parameters, differences, decision
        from memory.what_ifs order by computed_at desc, run_id limit {SHOWN}
        """,
    )
    wanted = run_id or (trials[0]["run_id"] if trials else None)
    return {
        "clock": clock.read(pg),
        "trials": trials,
        "trial": _whole(pg, wanted, is_asked_for=run_id is not None) if wanted else None,
        "decay": float(one(pg, f"select memory.parameter('{WEIGHTS}') ->> {EXPONENT} as decay")["decay"] or 0.1542),
        "threshold": clock.parameter(pg, "forgetting_threshold", 0.6),
    }


def _whole(pg: Reader, run_id: str, *, is_asked_for: bool) -> dict[str, Any] | None:
    found = rows(pg, "select * from memory.what_ifs where run_id = %(run)s", {"run": run_id})
    if not found:
        if is_asked_for:
            raise HTTPException(
                404, f"there is no result of {run_id[:100]!r} yet; it shows up when the run has computed it"
            )
        return None
    memories = rows(
        pg,
        """
        select t.difference, t.place, t.memory_id, t.agent_id, t.now, t."then", left(m.content, %(shown)s) as content
        from memory.what_if_memories as t
        left join memory.memories as m on m.memory_id = t.memory_id
        where t.run_id = %(run)s
        order by t.difference, t.place
        """,
        {"run": run_id, "shown": SHOWN_TEXT},
    )
    return {**found[0], "memories": memories}
