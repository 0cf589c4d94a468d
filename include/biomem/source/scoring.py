"""Encoding new memories: the arousal of each text is scored once, when the text arrives.

Scoring costs far more than reading (docs/decisions/0009), so a backfill reads first and scores afterwards, a portion at
a time. A row whose `text_arousal` is null waits for that; no model sees it before (`stg_memories`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from biomem.source.encoding import SCORED_CHARACTERS, text_arousal
from biomem.source.progress import Progress, Report
from biomem.source.watermark import Changes, Watermark, next_batch, record_pull, scalar
from biomem.warehouse.connection import transaction

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb
    import pyarrow as pa

TEXTS_AT_ONCE = 10_000
WAITING_AT_ONCE = 20_000


def score_changed(con: duckdb.DuckDBPyConnection) -> None:
    """Score the texts of the temporary table `changed` that are new."""
    texts = con.execute(
        f"select memory_id, left(coalesce(content, ''), {SCORED_CHARACTERS}) as text from changed "
        "where text_arousal is null"
    ).to_arrow_reader(TEXTS_AT_ONCE)
    con.register("scored", _score(texts, "memory_id"))
    con.execute(
        "update changed set text_arousal = scored.text_arousal from scored where changed.memory_id = scored.memory_id"
    )
    con.unregister("scored")


def encode_waiting(
    con: duckdb.DuckDBPyConnection,
    watermark: Watermark,
    *,
    as_of: datetime | None,
    run_id: str | None,
    report: Report,
) -> Changes:
    """Score the memories that a backfill left waiting, and so show them to the models; returns them as inserted.

    Each portion is a batch and a transaction of its own: one that is cut short is taken up by the next pull.
    """
    name = watermark.source_name
    # most polls find nothing, and DuckDB's statistics say so without a scan
    if not scalar(con.execute("select exists (from raw.memories where text_arousal is null)")):
        return Changes(0, 0, 0)
    waiting = "source_name = ? and text_arousal is null"
    extent = con.execute(
        f"select count(*), min(rowid), max(rowid) from raw.memories where {waiting}", [name]
    ).fetchone()
    assert extent is not None
    total, first, last = extent
    began, done = time.monotonic(), 0
    for start in range(first, last + 1, WAITING_AT_ONCE) if total else ():
        portion = f"rowid >= {start} and rowid < {start + WAITING_AT_ONCE}"
        began_portion = time.monotonic()
        with transaction(con):
            texts = con.execute(
                f"select rowid as row_id, left(coalesce(content, ''), {SCORED_CHARACTERS}) as text from raw.memories "
                f"where {waiting} and {portion}",
                [name],
            ).to_arrow_reader(TEXTS_AT_ONCE)
            con.register("scored", _score(texts, "row_id"))
            batch_id = next_batch(con)
            con.execute(
                "insert or ignore into raw.agents select distinct agent_id from raw.memories "
                f"where {waiting} and {portion}",
                [name],
            )
            scored = con.execute(
                "update raw.memories set text_arousal = scored.text_arousal, batch_id = ? from scored "
                f"where memories.rowid = scored.row_id and {portion}",
                [batch_id],
            )
            rows = int(scalar(scored))
            con.unregister("scored")
            record_pull(
                con,
                source_name=name,
                batch_id=batch_id,
                run_id=run_id,
                as_of=as_of,
                horizon_before=None,
                horizon_after=watermark.horizon,
                changes=Changes(inserted=rows, updated=0, deleted=0),
                seconds=time.monotonic() - began_portion,
            )
        done += rows
        report(Progress(name, "encoded", done, total, time.monotonic() - began))
    return Changes(inserted=done, updated=0, deleted=0)


def _score(texts: pa.RecordBatchReader, key: str) -> pa.Table:
    # in plain Python: called from SQL, DuckDB's threads would wait for the one interpreter, at five times the cost
    import pyarrow as pa

    schema = pa.schema([texts.schema.field(key), ("text_arousal", pa.float64())])
    batches = [
        pa.record_batch([batch[key], [text_arousal(text) for text in batch["text"].to_pylist()]], schema=schema)
        for batch in texts
    ]
    return pa.Table.from_batches(batches, schema)
