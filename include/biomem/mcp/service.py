"""What the tools do, for one agent at a time; knows nothing of the protocol.

Reads ask schema `memory` of the target, writes go to the source table: the pipeline takes them from there. Every call
opens its own connection, so that a database that was down is used again as soon as it is back.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biomem.errors import ConfigurationError, InputError, SourceError
from biomem.mcp.answers import (
    Event,
    ExplainAnswer,
    ForgetAnswer,
    HeldMemory,
    RecallAnswer,
    Recalled,
    RememberAnswer,
    Taken,
    WorkingMemoryAnswer,
)
from biomem.recall.asking import Asker
from biomem.source import write
from biomem.source.dsn import connect, place, without_secrets
from biomem.source.mapping import MEMORIES, load_sources
from biomem.story import tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from biomem.demo.postgres import Connections
    from biomem.recall.asking import Forgotten
    from biomem.settings import Settings
    from biomem.source.mapping import SourceTable

RECALLABLE = "with the next window of the pipeline: it starts every 30 seconds"
TAKES_EFFECT = (
    "with the next window that compares all keys where the row was deleted, with the next one where it was marked; "
    "hard deletion, which leaves no trace, is the command `biomem forget --hard`"
)


@dataclass(frozen=True)
class MemoryService:
    """The memory of any agent; callers say whose, and must have made sure that they may."""

    settings: Settings
    connections: Connections
    sources: Sequence[SourceTable]
    write_to: SourceTable

    def recall(self, agent_id: str, question: str, k: int, forgotten: Forgotten) -> RecallAnswer:
        """The `k` memories that answer `question` best. Recalling strengthens them."""
        _require_text("question", question)
        with self._target() as pg:
            asker = Asker(pg, self.settings)
            found = asker.recall(question, agent_id, k, forgotten=forgotten)
        memories = [Recalled(**vars(one), is_forgotten=one.parts.get("state") == "forgotten") for one in found]
        return RecallAnswer(memories=memories, warning=asker.warning)

    def working_memory(self, agent_id: str) -> WorkingMemoryAnswer:
        """What the agent has in mind as of the last window."""
        with self._target() as pg:
            held = _rows(
                pg,
                """
                select w.rank, w.memory_id, m.content, m.occurred_at, w.last_accessed_at, w.activation
                from memory.working_memory as w
                join memory.memories as m on m.memory_id = w.memory_id and m.agent_id = w.agent_id
                where w.agent_id = %(agent)s
                order by w.rank
                """,
                {"agent": agent_id},
            )
            clock = _rows(
                pg,
                """
                select as_of, extract(epoch from now() - as_of)::double precision as age_s from memory.runs
                where stage = 'short_term_memory' order by sequence desc limit 1
                """,
                {},
            )
        window = clock[0] if clock else {"as_of": None, "age_s": None}
        return WorkingMemoryAnswer(memories=[HeldMemory(**row) for row in held], **window)

    def explain(self, agent_id: str, memory_id: str) -> ExplainAnswer:
        """A memory's story. Raises InputError when the agent has no such memory."""
        _require_text("memory_id", memory_id)
        with self._target() as pg:
            (now,) = pg.execute("select now()").fetchall()[0]
            story = tell(pg, agent_id, memory_id, now)
        if story is None:
            raise _unknown(memory_id)
        told = story.as_dict()
        return ExplainAnswer(
            memory=told["memory"],
            state=told["state"],
            now=told["now"],
            story=[Event(**event) for event in told["story"]],
        )

    def remember(
        self,
        agent_id: str,
        content: str,
        session_id: str | None,
        speaker: str | None,
        importance: float | None,
        tags: list[str] | None,
    ) -> RememberAnswer:
        """Write a memory into the source table. Raises InputError when there is no text."""
        if not content.strip():
            raise InputError("there is nothing to remember: content is empty")
        done = write.remember(
            self.connections.source_dsn,
            self.write_to,
            agent_id=agent_id,
            content=content,
            session_id=session_id,
            speaker=speaker,
            importance=importance,
            tags=tags,
        )
        return RememberAnswer(
            memory_id=done.memory_id, stored_in=done.table, not_stored=list(done.not_stored), recallable=RECALLABLE
        )

    def forget(self, agent_id: str, memory_id: str) -> ForgetAnswer:
        """Take a memory and its repeats out of the source. Raises InputError when the agent has no such memory."""
        _require_text("memory_id", memory_id)
        memory_ids = [memory_id, *self._repeats(agent_id, memory_id)]
        taken: dict[str, str] = {}
        for source in self.sources:
            left = [one for one in memory_ids if one not in taken]
            taken |= write.forget(self.connections.source_dsn, source, agent_id=agent_id, memory_ids=left)
        if not taken:
            raise _unknown(memory_id)
        forgotten = [Taken(memory_id=one, how=how) for one, how in taken.items()]
        return ForgetAnswer(forgotten=forgotten, takes_effect=TAKES_EFFECT)

    def _repeats(self, agent_id: str, memory_id: str) -> list[str]:
        """The other times that the same was said, as far as the pipeline has noticed."""
        with self._target() as pg:
            if pg.execute("select to_regclass('memory.memories')").fetchone() == (None,):
                return []
            rows = _rows(
                pg,
                """
                with first as (
                    select coalesce(repeat_of, memory_id) as memory_id from memory.memories
                    where memory_id = %(id)s and agent_id = %(agent)s
                )
                select m.memory_id from memory.memories as m, first
                where m.agent_id = %(agent)s and m.memory_id <> %(id)s
                    and (m.repeat_of = first.memory_id or m.memory_id = first.memory_id)
                order by m.memory_id
                """,
                {"id": memory_id, "agent": agent_id},
            )
        return [row["memory_id"] for row in rows]

    @contextmanager
    def _target(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        import psycopg

        dsn = self.connections.target_dsn
        try:
            with connect(dsn, autocommit=True) as pg:
                yield pg
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction):
            raise SourceError(
                f"nothing was published yet to {place(dsn)}: start the pipeline (`biomem up`), or run it once "
                "(`biomem run short_term_memory`)"
            ) from None
        except psycopg.Error as error:
            raise SourceError(f"PostgreSQL ({place(dsn)}) failed: {without_secrets(str(error), dsn)}") from None


def make_service(settings: Settings, connections: Connections, source: str | None) -> MemoryService:
    """The service over the mapped sources; `source` names the one that is written to when there are several.

    Raises ConfigurationError when it must be named and is not.
    """
    sources = [one for one in load_sources(settings) if one.kind == MEMORIES]
    chosen = [one for one in sources if source in (None, one.name)]
    if len(chosen) != 1:
        names = ", ".join(one.name for one in sources)
        problem = f"there is no source {source!r}" if source else "there are several sources"
        raise ConfigurationError(f"{problem}: name the one that memories are written to with --source ({names})")
    return MemoryService(settings, connections, sources, chosen[0])


def _require_text(name: str, text: str) -> None:
    if "\0" in text:
        raise InputError(f"{name} holds a NUL character; leave it out")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} holds half of a surrogate pair, which is no text; leave it out") from None


def _unknown(memory_id: str) -> InputError:
    return InputError(f"there is no memory {memory_id[:100]!r} of yours; recall and working_memory tell the ids")


def _rows(pg: psycopg.Connection[tuple[Any, ...]], query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    with pg.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()
