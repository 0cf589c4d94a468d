"""What a source can hold, as Hypothesis draws it: few values of each kind, chosen so that the odd cases meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    import duckdb

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAY_S = 86_400
LAST_DAY = 420
LONG = (
    "on the way home we spoke at length about the garden behind the old school and the people who once "
    "planted the apple trees along its southern wall"
)
CONTENTS = (
    *(None, "", "👍", "Noor lives in Leiden.", "Noor lives in Utrecht.", LONG, LONG.upper() + "!", LONG + " too"),
    *("Met Anna by the garden.", "The garden of Old Tom near the harbour.", "זכרתי את הבית", "'; drop table x; --"),
)


def instant(seconds: float) -> datetime:
    """The instant that many seconds into the log's time."""
    return START + timedelta(microseconds=round(seconds * 1e6))


@dataclass(frozen=True)
class Memory:
    memory_id: str
    agent_id: str
    occurred_at: datetime
    session_id: str | None = None
    speaker: str | None = None
    content: str | None = None
    updated_at: datetime | None = None
    importance: float | None = None
    arousal: float | None = None
    tags: tuple[str, ...] | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True)
class Access:
    access_id: str
    memory_id: str
    agent_id: str
    accessed_at: datetime
    kind: str
    grade: int


@dataclass(frozen=True)
class Log:
    memories: tuple[Memory, ...] = ()
    accesses: tuple[Access, ...] = ()

    def shifted(self, by: timedelta) -> Log:
        """The same log at another time."""
        return Log(
            tuple(
                replace(
                    memory,
                    occurred_at=memory.occurred_at + by,
                    updated_at=memory.updated_at and memory.updated_at + by,
                    deleted_at=memory.deleted_at and memory.deleted_at + by,
                )
                for memory in self.memories
            ),
            tuple(replace(access, accessed_at=access.accessed_at + by) for access in self.accesses),
        )


def pull(con: duckdb.DuckDBPyConnection, log: Log) -> None:
    """Write a log into schema raw as one pull does; a memory's id that is known is another version of it.

    An access that was pulled already is the same one, delivered again.
    """
    batch = con.execute("select coalesce(max(batch_id), 0) + 1 from raw.pulls").fetchall()[0][0]
    known = dict(con.execute("select memory_id, content from raw.memories").fetchall())
    for memory in log.memories:
        if known.get(memory.memory_id, memory.content) != memory.content:
            con.execute(
                "insert into raw.revisions by name select ? as memory_id, count(*) + 1 as revision, "
                "'-' as content_hash, ? as revised_at, ? as batch_id from raw.revisions where memory_id = ?",
                [memory.memory_id, memory.updated_at, batch, memory.memory_id],
            )
        con.execute("delete from raw.memories where memory_id = ?", [memory.memory_id])
        known[memory.memory_id] = memory.content
    versions = {memory.memory_id: {**vars(memory), "source_name": "test", "text_arousal": 0} for memory in log.memories}
    _insert(con, "memories", batch, list(versions.values()))
    for agent_id in sorted({memory.agent_id for memory in log.memories}):
        con.execute("insert or ignore into raw.agents values (?)", [agent_id])
    logged = {access_id for (access_id,) in con.execute("select access_id from raw.access_log").fetchall()}
    accesses = {access.access_id: vars(access) for access in log.accesses if access.access_id not in logged}
    _insert(con, "access_log", batch, list(accesses.values()))
    con.execute(
        "insert into raw.pulls by name select ? as batch_id, 'test' as source_name, '1' as horizon_after, "
        "0 as rows_inserted, 0 as rows_updated, 0 as rows_deleted, 0 as seconds",
        [batch],
    )


def _insert(con: duckdb.DuckDBPyConnection, table: str, batch: int, rows: list[dict[str, Any]]) -> None:
    if rows:
        columns = [*rows[0], "batch_id"]
        con.executemany(
            f"insert into raw.{table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})",
            [[*row.values(), batch] for row in rows],
        )


# ties, the same window, the edges of windows and days, whole days, and any second or fraction of one
offsets_s = st.one_of(
    st.sampled_from([0, 29.999999, 30, 300, DAY_S - 1, DAY_S]),
    st.integers(0, 600),
    st.integers(0, LAST_DAY).map(lambda day: day * DAY_S),
    st.integers(0, LAST_DAY * DAY_S),
    st.floats(0, 3 * DAY_S, allow_nan=False),
)
shares = st.one_of(st.none(), st.sampled_from([0.0, 0.2, 0.4, 0.8, 1.0, -3.0, 7.0, float("nan")]), st.floats(0, 1))
agents = st.sampled_from(["ada", "bo"])
as_ofs = st.one_of(
    st.sampled_from([0, 1, 30, 3600]), st.integers(1, LAST_DAY).map(lambda day: day * DAY_S), st.integers(0, 3 * DAY_S)
).map(instant)


@st.composite
def memories(draw: st.DrawFn, number: int, contents: st.SearchStrategy[str | None]) -> Memory:
    at = instant(draw(offsets_s))
    deleted = draw(st.sampled_from([False] * 9 + [True]))
    return Memory(
        memory_id=f"m{number}",
        agent_id=draw(agents),
        session_id=draw(st.sampled_from([None, "s1", "s2"])),
        speaker=draw(st.sampled_from([None, "Noor"])),
        content=draw(contents) if draw(st.booleans()) else f"note {number}",
        occurred_at=at,
        updated_at=at,
        importance=draw(shares),
        arousal=draw(shares),
        tags=draw(st.sampled_from([None, (), ("garden",), ("garden", "Anna")])),
        deleted_at=at + timedelta(days=3) if deleted else None,
    )


@st.composite
def logs(
    draw: st.DrawFn,
    *,
    most_memories: int = 8,
    most_accesses: int = 30,
    contents: st.SearchStrategy[str | None] | None = None,
) -> Log:
    """A log of one or two agents; some accesses come before their memory (clock skew), some are of no known memory."""
    count = draw(st.integers(1, most_memories))
    told = tuple(draw(memories(number, contents or st.sampled_from(CONTENTS))) for number in range(count))
    accesses = []
    for number in range(draw(st.integers(0, most_accesses))):
        memory = draw(st.sampled_from(told))
        skew = draw(st.sampled_from([0] * 8 + [-DAY_S, -3600]))
        accesses.append(
            Access(
                access_id=f"a{number}",
                memory_id=memory.memory_id if draw(st.integers(0, 29)) else "unknown",
                agent_id=memory.agent_id,
                accessed_at=max(memory.occurred_at, instant(draw(offsets_s))) + timedelta(seconds=skew),
                kind=draw(st.sampled_from(["retrieve", "retrieve", "restudy"])),
                grade=draw(st.sampled_from([3, 1, 2, 4, 0, 9])),
            )
        )
    return Log(told, tuple(accesses))
