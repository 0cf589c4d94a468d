from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from biomem.warehouse.target_schema import ensure_target_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)  # a Monday
COLUMNS = (
    *("memory_id", "agent_id", "session_id", "speaker", "content", "occurred_at", "state", "repeat_of"),
    *("stability_days", "last_accessed_at", "is_long_term", "run_id", "params_hash", "as_of"),
)


class Target:
    """A target database with schema memory, filled by hand as a publication would."""

    def __init__(self, pg: psycopg.Connection[Any]) -> None:
        self.pg = pg

    def remember(self, memory_id: str, content: str | None, *, minute: float = 0, **other: Any) -> None:
        at = other.pop("occurred_at", START + timedelta(minutes=minute))
        row = {
            **{"memory_id": memory_id, "agent_id": "ada", "session_id": None, "speaker": None, "content": content},
            **{"occurred_at": at, "state": "live", "repeat_of": None, "stability_days": 1000.0},
            **{"last_accessed_at": at, "is_long_term": False, "run_id": "r", "params_hash": "h", "as_of": START},
            **other,
        }
        assert set(row) == set(COLUMNS)
        names, values = ", ".join(COLUMNS), ", ".join(f"%({name})s" for name in COLUMNS)
        changes = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
        self.pg.execute(
            f"insert into memory.memories ({names}) values ({values}) on conflict (memory_id) do update set {changes}",
            row,
        )

    def recall(self, question: str | None, agent_id: str | None = "ada", k: int | None = 10, **other: Any) -> list[str]:
        return [row["memory_id"] for row in self.results(question, agent_id, k, **other)]

    def results(
        self, question: str | None, agent_id: str | None = "ada", k: int | None = 10, **other: Any
    ) -> list[dict[str, Any]]:
        options = {"query_embedding": None, "as_of": None, "forgotten": "cued", "log": False, **other}
        cursor = self.pg.cursor(row_factory=psycopg.rows.dict_row)
        return cursor.execute(
            "select * from memory.recall(%(query)s, %(agent_id)s, %(k)s, %(query_embedding)s::real[], %(as_of)s, "
            "%(forgotten)s, %(log)s)",
            {"query": question, "agent_id": agent_id, "k": k, **options},
        ).fetchall()

    def index(self) -> dict[str, list[Any]]:
        """All that the recall index holds, without the numbers that it happened to give."""
        texts = self.pg.execute(
            "select agent_id, memory_id, session_id, speaker, length, lexemes, array(select beside.memory_id "
            "from unnest(around) with ordinality as a (document, place) left join memory.recall_documents as beside "
            "on beside.agent_id = d.agent_id and beside.document = a.document order by place) "
            "from memory.recall_documents as d order by memory_id"
        ).fetchall()
        postings = self.pg.execute(
            "select p.agent_id, p.lexeme, d.memory_id, one.frequency, one.length from memory.recall_postings as p "
            "cross join unnest(p.documents, p.frequencies, p.lengths) as one (document, frequency, length) "
            "left join memory.recall_documents as d on d.agent_id = p.agent_id and d.document = one.document "
            "order by 1, 2, 3"
        ).fetchall()
        agents = self.pg.execute(
            "select agent_id, documents, total_length from memory.recall_agents where documents > 0 order by 1"
        ).fetchall()
        speakers = self.pg.execute("select * from memory.recall_speakers order by 1, 2").fetchall()
        return {"texts": texts, "postings": postings, "agents": agents, "speakers": speakers}


@pytest.fixture
def pg(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    ensure_target_schema(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def target(pg: psycopg.Connection[Any]) -> Target:
    return Target(pg)
