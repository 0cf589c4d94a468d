"""Why: what a question brings to mind, by which evidence, and a memory's whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from biomem.recall.asking import Asker
from biomem.settings import load_settings
from biomem.story import tell
from fastapi import HTTPException

from biomem_airflow.ui.reading import one, rows

if TYPE_CHECKING:
    from datetime import datetime

    from biomem.recall.asking import Forgotten

    from biomem_airflow.ui.reading import Reader

FOUND = 20


def search(pg: Reader, agent: str, question: str, forgotten: Forgotten) -> dict[str, Any]:
    """The memories that answer best. Looking is not recalling: nothing is logged, so nothing is strengthened."""
    at = _as_of(pg)
    asker = Asker(pg, load_settings())
    found = [one.as_dict() for one in asker.recall(question, agent, FOUND, as_of=at, forgotten=forgotten, log=False)]
    known = rows(
        pg,
        "select memory_id, state, is_long_term from memory.memories where memory_id = any(%(ids)s)",
        {"ids": [one["memory_id"] for one in found]},
    )
    states = {row["memory_id"]: row for row in known}
    return {"memories": [{**one, **states.get(one["memory_id"], {})} for one in found], "warning": asker.warning}


def story(pg: Reader, agent: str, memory_id: str) -> dict[str, Any]:
    """A memory's story as of the last publication."""
    told = tell(pg, agent, memory_id, _as_of(pg))
    if told is None:
        raise HTTPException(404, f"{agent} has no memory {memory_id[:100]!r}")
    return told.as_dict()


def _as_of(pg: Reader) -> datetime:
    """Up to when everything shown was computed."""
    found = one(pg, "select coalesce((select as_of from memory.runs order by sequence desc limit 1), now()) as at")
    return cast("datetime", found["at"])
