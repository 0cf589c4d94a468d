"""Housekeeping brings the warehouse's file to what its tables need."""

from __future__ import annotations

import subprocess
import sys

from biomem.warehouse.compact import FREE_BYTES, compact
from biomem.warehouse.connection import open_warehouse

MB = 1024**2
# hashes do not compress
FILL = "create table ballast as select hash(range) as a, hash(range + 1) as b, hash(range + 2) as c from range($rows)"


def everything(settings):
    with open_warehouse(settings, read_only=True) as con:
        objects = con.execute(
            "select schema_name, table_name, sql, comment from duckdb_tables() "
            "union all select schema_name, view_name, sql, comment from duckdb_views() where not internal order by all"
        ).fetchall()
        rows = {
            f"{schema}.{name}": con.execute(f'select count(*), sum(hash(t)) from "{schema}"."{name}" as t').fetchone()
            for schema, name, *_ in objects
        }
        constraints = con.execute(
            "select schema_name, table_name, constraint_type, constraint_column_names from duckdb_constraints() "
            "order by all"
        ).fetchall()
    return objects, rows, constraints


def test_a_file_that_is_mostly_free_is_written_anew_and_holds_the_same(settings):
    with open_warehouse(settings) as con:
        con.execute("insert into raw.agents values ('ada')")
        con.execute("create view agents as select agent_id from raw.agents")
        con.execute("comment on view agents is 'who remembers'")
        con.execute(FILL, {"rows": 5_000_000})
        con.execute("delete from ballast where a % 50 <> 0")
    before = everything(settings)
    done = compact(settings, purpose="test")
    assert done.is_anew
    assert done.bytes_before > done.bytes_after + FREE_BYTES
    assert done.bytes_after == settings.warehouse_path.stat().st_size
    assert everything(settings) == before
    assert {path.name for path in settings.home.iterdir()} == {"warehouse.duckdb", "warehouse.lock"}

    again = compact(settings, purpose="test")
    assert not again.is_anew
    assert again.bytes_after == done.bytes_after


def test_a_little_free_space_is_left_for_what_comes(settings):
    with open_warehouse(settings) as con:
        con.execute(FILL, {"rows": 200_000})
        con.execute("checkpoint")
        con.execute("drop table ballast")
    done = compact(settings, purpose="test")
    assert not done.is_anew
    assert done.bytes_free < FREE_BYTES


def test_a_copy_that_cannot_be_written_is_removed_and_the_warehouse_stays(settings):
    with open_warehouse(settings) as con:
        con.execute(FILL, {"rows": 1_000_000})
    before = everything(settings)
    limited = (
        "import resource, sys; from pathlib import Path; from biomem.errors import WarehouseError; "
        "from biomem.settings import load_settings; from biomem.warehouse.compact import rewrite; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({4 * MB}, {4 * MB}))\n"
        "try: rewrite(load_settings(Path(sys.argv[1])), purpose='test')\n"
        "except WarehouseError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, settings.home], capture_output=True, text=True, timeout=120, check=False
    )
    assert "Make room" in done.stdout, done.stderr
    assert {path.name for path in settings.home.iterdir()} == {"warehouse.duckdb", "warehouse.lock"}
    assert everything(settings) == before
