"""From the rows that were read to what they change in schema `raw`: rows, revisions, agents and tombstones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biomem.source.scoring import score_changed
from biomem.source.watermark import Changes, scalar

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

SOURCE_COLUMNS = (
    "agent_id",
    "session_id",
    "speaker",
    "content",
    "occurred_at",
    "updated_at",
    "importance",
    "arousal",
    "tags",
    "metadata",
    "deleted_at",
    "embedding",
)


def apply_changes(con: duckdb.DuckDBPyConnection, source_name: str, as_of: datetime | None, batch_id: int) -> Changes:
    """Bring `raw` in line with the temporary tables `pulled` (rows) and `vanished` (ids that are gone).

    Call it inside the transaction that also saves the watermark. Rows that are as before are left alone, so that
    `batch_id` tells what is new.
    """
    if not scalar(con.execute("select exists (from pulled) or exists (from vanished)")):
        return Changes(0, 0, 0)
    _collect_changes(con)
    decided_at = _decision_time(con, as_of)
    con.execute(
        """
        insert into raw.revisions (memory_id, revision, content_hash, revised_at, batch_id)
        select
            changed.memory_id,
            coalesce(max(revisions.revision), 0) + 1,
            sha256(coalesce(any_value(changed.content), '')),
            -- the source's own time of the edit, if it keeps one
            coalesce(any_value(case when changed.has_new_update then changed.updated_at end), ?),
            ?
        from changed
        left join raw.revisions on revisions.memory_id = changed.memory_id
        where changed.is_edit
        group by changed.memory_id
        """,
        [decided_at, batch_id],
    )
    # the row that comes again loses its tombstone; the ledger goes on knowing of it
    con.execute(
        """
        insert into raw.deletions (memory_id, occasion, agent_id, deleted_at, undeleted_at, batch_id)
        select
            memories.memory_id,
            (select count(*) from raw.deletions as former where former.memory_id = memories.memory_id) + 1,
            memories.agent_id,
            memories.deleted_at,
            greatest(memories.deleted_at, coalesce(case when changed.has_new_update then changed.updated_at end, ?)),
            ?
        from changed
        join raw.memories as memories on memories.memory_id = changed.memory_id
        where memories.deleted_at is not null and changed.deleted_at is null
        """,
        [decided_at, batch_id],
    )
    columns = (*SOURCE_COLUMNS, "text_arousal")
    con.execute(
        f"""
        merge into raw.memories as memories
        using changed on memories.memory_id = changed.memory_id
        when matched then update set
            {", ".join(f"{name} = changed.{name}" for name in columns)}, batch_id = $batch_id
        when not matched then insert
            (source_name, memory_id, {", ".join(columns)}, batch_id)
            values ($source_name, changed.memory_id, {", ".join(f"changed.{name}" for name in columns)}, $batch_id)
        """,
        {"batch_id": batch_id, "source_name": source_name},
    )
    con.execute("insert or ignore into raw.agents select distinct agent_id from changed")
    counts = con.execute(
        """
        select
            count(*) filter (is_new),
            count(*) filter (not is_new and not is_deletion),
            count(*) filter (not is_new and is_deletion)
        from changed
        """
    ).fetchone()
    assert counts is not None
    vanished = _bury_vanished(con, source_name, decided_at, batch_id)
    return Changes(counts[0], counts[1], counts[2] + vanished)


def _collect_changes(con: duckdb.DuckDBPyConnection) -> None:
    """Put what differs from the warehouse into `changed`; only new texts are scored for arousal."""
    is_distinct = " or ".join(f"pulled.{name} is distinct from memories.{name}" for name in SOURCE_COLUMNS)
    con.execute(
        f"""
        create or replace temp table changed as
        select
            pulled.* exclude (problem),
            -- what still waits to be encoded was never seen
            memories.text_arousal is null as is_new,
            memories.text_arousal is not null and pulled.content is distinct from memories.content as is_edit,
            pulled.updated_at is distinct from memories.updated_at as has_new_update,
            pulled.deleted_at is not null and memories.deleted_at is null as is_deletion,
            case when pulled.content is not distinct from memories.content then memories.text_arousal end
                as text_arousal
        from pulled
        left join raw.memories as memories on memories.memory_id = pulled.memory_id
        where memories.memory_id is null or {is_distinct}
        """
    )
    score_changed(con)


def _decision_time(con: duckdb.DuckDBPyConnection, as_of: datetime | None) -> datetime | None:
    """When changes that the source does not date count as made: at `as_of`, or at the newest time in the data.

    Never before an instant that was computed or pulled already, for until then the source still said otherwise.
    """
    decided_at: datetime | None = scalar(
        con.execute(
            """
            select greatest(
                coalesce($as_of, greatest(
                    (select max(greatest(occurred_at, updated_at)) from raw.memories),
                    (select max(greatest(occurred_at, updated_at)) from changed)
                )),
                (select max(as_of) from raw.run_context),
                (select max(pulled_as_of) from raw.pulls)
            )
            """,
            {"as_of": as_of},
        )
    )
    return decided_at


def _bury_vanished(con: duckdb.DuckDBPyConnection, source_name: str, decided_at: datetime | None, batch_id: int) -> int:
    """Give memories whose row the source has no more a tombstone; returns how many."""
    buried = scalar(
        con.execute(
            "update raw.memories set deleted_at = ?, batch_id = ? where source_name = ? and deleted_at is null "
            "and memory_id in (select memory_id from vanished)",
            [decided_at, batch_id, source_name],
        )
    )
    return int(buried)
