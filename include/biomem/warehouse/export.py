"""The log as a file that `biomem load` takes: what was lived, from which all state follows.

One row a memory with its accesses. Edits go along as what they count for, a restudy. Not in it: memories deleted in
the source, embeddings, and state, which a run over the loaded memories gives again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from biomem.errors import ConfigurationError, InputError
from biomem.warehouse.connection import open_warehouse, quote_literal

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import duckdb

    from biomem.settings import Settings

Format = Literal["jsonl", "parquet"]

# a source's importance and arousal count clamped to a share; metadata that is no object is put into one
SELECT = """
with accesses as (
    select memory_id, agent_id, access_id like '%:%' as is_of_owner, accessed_at, kind,
        least(greatest(coalesce(grade, 3), 1), 4) as grade
    from raw.access_log
    union all
    select memory_id, null, true, revised_at, 'restudy', 3 from raw.revisions
),
wanted as (
    select * from raw.memories
    where deleted_at is null
        and ({agent}::varchar is null or agent_id = {agent}::varchar)
        and ({as_of}::timestamptz is null or occurred_at <= {as_of}::timestamptz)
),
used as (
    select
        accesses.memory_id,
        list({{'at': accessed_at, 'kind': kind, 'grade': grade}} order by accessed_at, kind, grade) as accesses
    from accesses
    join wanted on wanted.memory_id = accesses.memory_id
        -- as macro is_of_agent has it
        and (accesses.is_of_owner or accesses.agent_id = wanted.agent_id)
    where {as_of}::timestamptz is null or greatest(accessed_at, wanted.occurred_at) <= {as_of}::timestamptz
    group by accesses.memory_id
)
select
    wanted.memory_id, wanted.agent_id, wanted.session_id, wanted.speaker, wanted.content, wanted.occurred_at,
    case when {as_of}::timestamptz is null or wanted.updated_at <= {as_of}::timestamptz then wanted.updated_at end
        as updated_at,
    -- greatest and least pass over nulls
    case when wanted.importance is not null then least(greatest(wanted.importance, 0), 1) end as importance,
    case when wanted.arousal is not null then least(greatest(wanted.arousal, 0), 1) end as arousal,
    wanted.tags,
    case
        when json_type(wanted.metadata) = 'OBJECT' then wanted.metadata::json
        when wanted.metadata is not null then json_object('metadata', wanted.metadata::json)
    end{metadata_type} as metadata,
    used.accesses
from wanted
left join used on used.memory_id = wanted.memory_id
order by wanted.agent_id, wanted.occurred_at, wanted.memory_id
"""


@dataclass(frozen=True)
class Exported:
    """A file that was written, and how many memories it holds."""

    path: str
    memories: int


def export(
    settings: Settings,
    path: Path,
    *,
    form: Format,
    agent_id: str | None = None,
    as_of: datetime | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the memories, all or an agent's, as they were logged up to `as_of`, to `path`; whole or not at all.

    Texts are as they stand now: the log holds when they were edited, not what they were. A `.gz` at the end of the
    name compresses JSONL. Memory use does not grow with the number of memories.
    Raises ConfigurationError for an unknown agent, InputError when the file exists or cannot be written.
    """
    import duckdb

    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: name another file, or add --overwrite")
    options = {"jsonl": "format json", "parquet": "format parquet, compression zstd"}[form]
    if form == "jsonl":
        options += f", compression {'gzip' if path.suffix == '.gz' else 'none'}"
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        with open_warehouse(settings, read_only=True, purpose="biomem export") as con:
            if agent_id is not None:
                _require_agent(con, agent_id)
            # COPY takes no parameters
            select = SELECT.format(
                agent="null" if agent_id is None else quote_literal(agent_id),
                as_of="null" if as_of is None else quote_literal(as_of.isoformat()),
                metadata_type="" if form == "jsonl" else "::varchar",
            )
            rows = con.execute(f"copy ({select}) to {quote_literal(str(part))} ({options})").fetchall()
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(part, path)
    except (duckdb.Error, OSError) as error:
        raise InputError(f"{path} cannot be written: {error}; nothing was left behind") from error
    finally:
        part.unlink(missing_ok=True)
    return Exported(str(path), int(rows[0][0]))


def _require_agent(con: duckdb.DuckDBPyConnection, agent_id: str) -> None:
    known = [name for (name,) in con.execute("select agent_id from raw.agents order by agent_id").fetchall()]
    if agent_id not in known:
        shown = ", ".join(map(repr, known[:5])) or "none yet"
        raise ConfigurationError(f"no memories of agent {agent_id!r} were pulled; known agents: {shown}")
