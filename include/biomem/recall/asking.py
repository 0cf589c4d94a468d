"""Asking `memory.recall` with the question's vector, made by the model whose vectors are in service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from biomem.errors import ConfigurationError, EmbeddingError, RecallError
from biomem.recall.embedding import serving_model
from biomem.recall.models import configured_model, load_model

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from biomem.recall.models import EmbeddingModel
    from biomem.settings import Settings

    Target = psycopg.Connection[tuple[Any, ...]]
    Forgotten = Literal["cued", "all", "none"]

RECALL = """
select memory_id, content, occurred_at, score, parts
from memory.recall(%(question)s, %(agent_id)s, %(k)s, %(vector)s::real[], %(as_of)s, %(forgotten)s, %(log)s)
"""


@dataclass(frozen=True)
class Recalled:
    """One memory that came back. `parts` sum up to `score` but for `state`."""

    memory_id: str
    content: str
    occurred_at: datetime
    score: float
    parts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "occurred_at": self.occurred_at.isoformat()}


class Asker:
    """Asks one database, and loads the embedding model once.

    `warning` tells why questions are asked without a vector where one was wanted.
    """

    def __init__(self, pg: Target, settings: Settings) -> None:
        import psycopg

        self._pg = pg
        self._model: EmbeddingModel | None = None
        self.warning: str | None = None
        try:
            if configured_model(settings) is not None and (name := serving_model(pg)) is not None:
                self._model = load_model(settings, name)
        except psycopg.Error as error:
            raise RecallError(_explain(error)) from None
        except (EmbeddingError, ConfigurationError) as error:
            self.warning = f"recalling by words alone: {error}"

    def recall(
        self,
        question: str,
        agent_id: str,
        k: int = 10,
        *,
        as_of: datetime | None = None,
        forgotten: Forgotten = "cued",
        log: bool = True,
    ) -> list[Recalled]:
        """The at most `k` memories that `question` brings back to `agent_id`, best first.

        Raises RecallError when the database refuses.
        """
        import psycopg

        # PostgreSQL holds no zero byte, and a lone surrogate is no text
        question = question.replace("\x00", " ").encode("utf-8", "replace").decode("utf-8")
        try:
            rows = self._pg.execute(
                RECALL,
                {
                    **{"question": question, "agent_id": agent_id, "k": min(k, 10_000), "as_of": as_of},
                    **{"forgotten": forgotten, "log": log, "vector": self._vector(question, agent_id)},
                },
            ).fetchall()
        except psycopg.Error as error:
            raise RecallError(_explain(error)) from None
        return [Recalled(*row) for row in rows]

    def agents(self) -> list[str]:
        """Ids of the agents that have memories, in alphabetical order; those that may be seen."""
        import psycopg

        try:
            rows = self._pg.execute("select agent_id from memory.recall_agents where documents > 0 order by 1")
            return [agent_id for (agent_id,) in rows]
        except psycopg.Error as error:
            raise RecallError(_explain(error)) from None

    def _vector(self, question: str, agent_id: str) -> list[float] | None:
        if self._model is None or not question.strip():
            return None
        row = self._pg.execute("select memory.unnamed(%s, %s)", [question, agent_id]).fetchone()
        text = row[0] if row and row[0] else question
        try:
            return self._model.embed([text])[0]
        except EmbeddingError as error:
            self.warning = f"recalling by words alone: {error}"
            return None


def _explain(error: psycopg.Error) -> str:
    from psycopg import errors

    if isinstance(error, (errors.UndefinedTable, errors.UndefinedFunction, errors.InvalidSchemaName)):
        return "nothing was published yet, or by an older biomem; `biomem run short_term_memory` does it"
    return f"the database refused the question: {error}"
