"""kill -9 at the worst moment: between the rows and the watermark."""

from __future__ import annotations

import subprocess
import sys

KILLED_WHILE_SAVING_THE_WATERMARK = """
import os, signal, sys
from pathlib import Path
import biomem.source.pull as pull
from biomem.settings import load_settings
from biomem.source.mapping import load_sources
from biomem.warehouse.connection import open_warehouse

pull.save_watermark = lambda con, mark: os.kill(os.getpid(), signal.SIGKILL)
settings = load_settings(Path(sys.argv[1]), {})
with open_warehouse(settings) as con:
    pull.pull_all(con, load_sources(settings), source_dsn=sys.argv[2], target_dsn=sys.argv[2])
"""


def test_a_pull_killed_between_rows_and_watermark_has_done_nothing(memories, settings, dsn, pull, raw):
    memories.execute("insert into memories (memory_id, content, occurred_at) values ('a', 'x', '2025-01-01+00')")
    pull()
    memories.execute("insert into memories (memory_id, content, occurred_at) values ('b', 'x', '2025-01-01+00')")
    memories.execute("update memories set content = 'edit' where memory_id = 'a'")
    before = raw("select * from raw.memories"), raw("select * from raw.watermarks"), raw("select * from raw.pulls")
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_SAVING_THE_WATERMARK, settings.home, dsn], check=False)
    assert killed.returncode == -9
    assert (
        raw("select * from raw.memories"),
        raw("select * from raw.watermarks"),
        raw("select * from raw.pulls"),
    ) == before
    result = pull()
    assert (result.rows_inserted, result.rows_updated) == (1, 1)
    assert raw("select count(*) from raw.revisions") == [(1,)]
