"""Giving texts their vectors, a portion at a time, and putting a model into service.

What has no vector yet is what is new: an edit makes a new text of the recall index, and a deletion takes the vector
with it. A change of model is worked off beside the old one, which stays in service until every text has its new vector.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biomem.errors import EmbeddingError
from biomem.recall.models import OWN, configured_model, load_model
from biomem.source.dsn import connect, without_secrets
from biomem.warehouse.connection import open_warehouse

if TYPE_CHECKING:
    import psycopg

    from biomem.recall.models import EmbeddingModel
    from biomem.settings import Settings

    Target = psycopg.Connection[tuple[Any, ...]]

TEXTS_AT_ONCE = 256
WINDOW_S = 20.0
"""Most seconds that a window spends on vectors; what is left waits for the next."""

# a speaker's name before the text says nothing about its meaning, and would draw all that they said together
TEXT = """case when starts_with(m.content, d.speaker || ':')
    then ltrim(substr(m.content, length(d.speaker) + 2)) else m.content end"""
MISSING = f"""
select d.agent_id, d.document, m.memory_id, {TEXT}
from memory.recall_documents as d
join memory.memories as m on m.memory_id = d.memory_id
where not exists (
    select from memory.recall_vectors as v
    where v.agent_id = d.agent_id and v.document = d.document and v.model = %(model)s
)
order by d.occurred_at desc, d.memory_id
limit %(portion)s
"""
KEEP = """
insert into memory.recall_vectors (agent_id, model, document, embedding)
select d.agent_id, %(model)s, d.document, %(vector)s
from memory.recall_documents as d where d.agent_id = %(agent_id)s and d.document = %(document)s
on conflict do nothing
"""


@dataclass(frozen=True)
class EmbeddingResult:
    """What was done: by which model, how many texts, how many are left without a vector, and in how many seconds."""

    model: str | None
    embedded: int
    left: int
    seconds: float

    def describe(self) -> str:
        """One line for a log or a terminal."""
        if self.model is None:
            return "no embeddings are configured"
        return f"{self.model}: {self.embedded} texts embedded, {self.left} left; {self.seconds:.2f} s"


def embed_new(settings: Settings, dsn: str, *, seconds: float | None = WINDOW_S) -> EmbeddingResult:
    """Embed the texts of `dsn` that have no vector, newest first, for at most `seconds` (None: until all have one).

    The model in service comes first, then the configured one; once all texts have a vector of that, it takes over and
    the other's vectors go. Harmless to repeat; two at once do some work twice and nothing wrong. Raises EmbeddingError
    when the model fails: what was embedded before that stays.
    """
    import psycopg

    started = time.monotonic()
    wanted = configured_model(settings)
    if wanted is None:
        return EmbeddingResult(None, 0, 0, 0.0)
    deadline = None if seconds is None else started + seconds
    embedded = 0
    try:
        with connect(dsn, autocommit=True) as pg:
            serving = serving_model(pg)
            for name in dict.fromkeys([serving or wanted, wanted]):
                embedded += _work_off(pg, settings, name, deadline, portion_only=name != wanted)
            left = _count_missing(pg, wanted)
            if serving != wanted and (left == 0 or serving is None):
                _put_into_service(pg, wanted)
    except psycopg.Error as error:
        raise EmbeddingError(f"vectors cannot be written: {without_secrets(str(error), dsn)}") from None
    return EmbeddingResult(wanted, embedded, left, round(time.monotonic() - started, 3))


def serving_model(pg: Target) -> str | None:
    """Name of the model whose vectors a question is compared with; None before the first."""
    row = pg.execute("select model from memory.embedding_models where is_serving").fetchone()
    return row[0] if row else None


def _work_off(pg: Target, settings: Settings, name: str, deadline: float | None, *, portion_only: bool = False) -> int:
    model: EmbeddingModel | None = None
    embedded = 0
    while deadline is None or time.monotonic() < deadline:
        rows = pg.execute(MISSING, {"model": name, "portion": TEXTS_AT_ONCE}).fetchall()
        if not rows:
            break
        own = _own_vectors(settings, [memory_id for _, _, memory_id, _ in rows]) if name.startswith(OWN) else {}
        documents = [(agent_id, document) for agent_id, document, memory_id, _ in rows if memory_id in own]
        if documents:
            _keep(pg, name, documents, [own[memory_id] for _, _, memory_id, _ in rows if memory_id in own])
        rest = [row for row in rows if row[2] not in own]
        if rest:
            model = model or load_model(settings, name)
            vectors = model.embed([text for *_, text in rest])
            _keep(pg, name, [(agent_id, document) for agent_id, document, _, _ in rest], vectors)
        embedded += len(rows)
        if portion_only:
            break
    return embedded


def _own_vectors(settings: Settings, memory_ids: list[str]) -> dict[str, list[float]]:
    """The vectors that the source holds of these memories, scaled to length 1; those without a direction left out."""
    with open_warehouse(settings, read_only=True, purpose="embedding") as con:
        rows = con.execute(
            "select memory_id, embedding from raw.memories "
            "where embedding is not null and memory_id in (select unnest(?))",
            [memory_ids],
        ).fetchall()
    vectors = {}
    for memory_id, values in rows:
        length = sum(value * value for value in values if value is not None) ** 0.5
        if None not in values and 0 < length < float("inf"):
            vectors[memory_id] = [value / length for value in values]
    return vectors


def _keep(pg: Target, name: str, documents: list[tuple[str, int]], vectors: list[list[float]]) -> None:
    dimensions = {len(vector) for vector in vectors}
    row = pg.execute("select dimensions from memory.embedding_models where model = %s", [name]).fetchone()
    if len(dimensions) != 1 or (row and row[0] not in dimensions):
        raise EmbeddingError(
            f"{name} made vectors of {sorted(dimensions)} dimensions, where {row[0] if row else 'one number'} was "
            "expected: another model answers by that name; give it another name"
        )
    with pg.transaction(), pg.cursor() as cursor:
        cursor.execute(
            "insert into memory.embedding_models (model, dimensions) values (%s, %s) on conflict do nothing",
            [name, dimensions.pop()],
        )
        cursor.executemany(
            KEEP,
            [
                {"model": name, "agent_id": agent_id, "document": document, "vector": vector}
                for (agent_id, document), vector in zip(documents, vectors, strict=True)
            ],
        )


def _count_missing(pg: Target, name: str) -> int:
    row = pg.execute(
        "select (select count(*) from memory.recall_documents) "
        "- (select count(*) from memory.recall_vectors where model = %s)",
        [name],
    ).fetchone()
    assert row is not None
    return int(row[0])


def _put_into_service(pg: Target, name: str) -> None:
    with pg.transaction():
        pg.execute("update memory.embedding_models set is_serving = false where is_serving and model <> %s", [name])
        pg.execute("update memory.embedding_models set is_serving = true where model = %s", [name])
        pg.execute("delete from memory.recall_vectors where model <> %s", [name])
        pg.execute("delete from memory.embedding_models where model <> %s", [name])
