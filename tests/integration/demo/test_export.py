"""Out with everything that was lived, in again elsewhere: the same state."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from biomem.demo.load import load
from biomem.errors import ConfigurationError, InputError
from biomem.settings import load_settings
from biomem.source.mapping import load_sources
from biomem.source.pull import pull_all
from biomem.warehouse.compare import differing_rows
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.export import export
from biomem.warehouse.rebuild import run_stage
from biomem.warehouse.target_schema import ensure_target_schema

START = datetime(2026, 1, 1, 8, tzinfo=timezone.utc)
END = START + timedelta(days=40)
NASTY = 'quotes " and \\ and \n lines, "a,b", emoji 🪴 and 中文 and \u2028'


@pytest.fixture
def home(tmp_path):
    return load_settings(tmp_path / "home", {"BIOMEM_MAX_MEMORY": "1GB", "BIOMEM_THREADS": "2"})


@pytest.fixture
def lived(home, dsn):
    """A source of 42 memories of two agents with edits, accesses (some at one instant), and odd values; pulled."""
    ensure_target_schema(dsn)
    with psycopg.connect(dsn, autocommit=True) as pg:
        pg.execute(
            """
            create table public.memories (memory_id text primary key, agent_id text, session_id text, speaker text,
                content text, occurred_at timestamptz, updated_at timestamptz, importance float8, arousal float8,
                tags text[], metadata jsonb, deleted_at timestamptz)
            """
        )
        for n in range(40):
            pg.execute(
                "insert into memories values (%s, %s, %s, %s, %s, %s, null, %s, %s, %s, %s)",
                [
                    *(f"m{n}", ("ada", "milo")[n % 2], f"s{n // 5}", "Ada", f"Memory {n % 33} of the garden in Ghent"),
                    *(START + timedelta(hours=n, microseconds=n), n / 39.7 if n % 3 else None, 1.5 if n == 9 else None),
                    *(["garden", f"t{n % 4}"], json.dumps({"n": n, "deep": {"a": [1, None]}})),
                ],
            )
        pg.execute(
            "insert into memories (memory_id, agent_id, content, occurred_at, metadata, deleted_at) values "
            "('nasty', 'ada', %s, %s, '[1, 2]', null), ('blank', 'ada', null, %s, null, null), "
            "('gone', 'ada', 'deleted', %s, null, %s)",
            [NASTY, START, START, START, END],
        )
        log = (
            "insert into memory.access_log (memory_id, agent_id, accessed_at, kind, grade) values (%s, %s, %s, %s, %s)"
        )
        for n in range(60):
            pg.execute(
                log,
                [
                    *(f"m{n % 17}", ("ada", "milo")[n % 17 % 2], START + timedelta(days=n // 2)),
                    *(("retrieve", "restudy")[n % 5 == 0], 3),
                ],
            )
        for _ in range(2):
            pg.execute(log, ["m1", "milo", START + timedelta(days=20), "retrieve", 4])
    pull(home, dsn)
    with psycopg.connect(dsn, autocommit=True) as pg:
        edited = START + timedelta(days=12)
        pg.execute(
            "update memories set content = 'We moved to Bruges', updated_at = %s where memory_id = 'm3'", [edited]
        )
    pull(home, dsn)
    return home


def pull(home, dsn):
    with open_warehouse(home) as con:
        pull_all(con, load_sources(home), source_dsn=dsn, target_dsn=dsn, as_of=END)


def take_in(path, postgres, tmp_path, name):
    """Load a file into a database of its own and pull it into a warehouse of its own."""
    other = load_settings(tmp_path / name, {"BIOMEM_MAX_MEMORY": "1GB", "BIOMEM_THREADS": "2"})
    dsn = postgres.dsn(name)
    try:
        with psycopg.connect(dsn, autocommit=True) as pg:
            load(path, pg, pg)
            report = load(path, pg, pg)
        assert (report.inserted, report.updated, report.accesses) == (0, 0, 0), "loading it again changes nothing"
        pull(other, dsn)
    finally:
        with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")
    return other


def live(home):
    for stage in ("short_term_memory", "consolidation", "nightly_decay", "short_term_memory"):
        run_stage(home, stage, END, f"test-{stage}")


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_what_is_loaded_again_is_the_same_log(lived, postgres, tmp_path, form):
    path = tmp_path / f"all.{form}"
    assert export(lived, path, form=form).memories == 42
    other = take_in(path, postgres, tmp_path, f"log_{form}")
    for query in (
        "select memory_id, agent_id, session_id, speaker, content, occurred_at, updated_at, importance, tags, "
        "case when arousal > 1 then 1 else arousal end from raw.memories where deleted_at is null order by 1",
        "select memory_id, accessed_at, kind, grade from raw.access_log "
        "union all select memory_id, revised_at, 'restudy', 3 from raw.revisions order by all",
    ):
        before, after = (rows(where, query) for where in (lived, other))
        assert after == before
    assert json.loads(rows(other, "select metadata from raw.memories where memory_id = 'm5'")[0][0]) == {
        "n": 5,
        "deep": {"a": [1, None]},
    }


def rows(home, query):
    with open_warehouse(home) as con:
        return con.execute(query).fetchall()


def test_and_leads_to_the_same_state(lived, postgres, tmp_path):
    import duckdb

    path = tmp_path / "all.jsonl.gz"
    export(lived, path, form="jsonl")
    assert gzip.decompress(path.read_bytes()).startswith(b'{"memory_id"')
    other = take_in(path, postgres, tmp_path, "state")
    for home in (lived, other):
        live(home)
    models = [
        *("memory_repeats", "memory_supersessions", "memory_traces", "stm_windows", "memory_associations"),
        *("memory_replay", "ltm_memories", "concepts", "concept_associations", "memory_retention"),
    ]
    with duckdb.connect() as con:
        for name, home in (("lived", lived), ("rebuilt", other)):
            con.execute(f"attach '{home.warehouse_path}' as {name} (read_only)")
        for model in models:
            (count,) = con.execute(f"select count(*) from lived.main.{model}").fetchone()
            # the one that was deleted is known to the first warehouse only
            different = [row for row in differing_rows(con, model) if row.get("memory_id") != "gone"]
            assert different == [], (model, count)


def test_one_agent_and_one_instant(lived, tmp_path):
    path = tmp_path / "ada.jsonl"
    export(lived, path, form="jsonl", agent_id="ada", as_of=START + timedelta(hours=12))
    memories = [json.loads(line) for line in path.read_text().rstrip("\n").split("\n")]
    assert {memory["agent_id"] for memory in memories} == {"ada"}
    assert {memory["memory_id"] for memory in memories} == {"nasty", "blank", *(f"m{n}" for n in range(0, 12, 2))}
    assert all(access["at"] <= "2026-01-01 20:00:00+00" for memory in memories for access in memory["accesses"] or [])
    with pytest.raises(ConfigurationError, match="no memories of agent 'nobody'"):
        export(lived, tmp_path / "x", form="jsonl", agent_id="nobody")


def test_parquet_keeps_the_types(lived, tmp_path):
    path = tmp_path / "all.parquet"
    export(lived, path, form="parquet")
    schema = {field.name: str(field.type) for field in pq.read_schema(path)}
    assert schema["occurred_at"] == "timestamp[us, tz=UTC]"
    assert schema["importance"] == "double"
    assert schema["tags"].startswith("list<")


def test_a_file_is_written_whole_or_not_at_all(lived, tmp_path):
    path = tmp_path / "all.jsonl"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        export(lived, path, form="jsonl")
    with pytest.raises(InputError, match="cannot be written"):
        export(lived, tmp_path / "no" / "folder.jsonl", form="jsonl")
    assert path.read_text() == "mine"
    export(lived, path, form="jsonl", overwrite=True)
    assert path.read_text().count("\n") == 42
    assert [name.name for name in tmp_path.iterdir() if "part" in name.name] == []


def test_a_damaged_file_is_told_by_its_row(lived, tmp_path, dsn):
    path = tmp_path / "all.parquet"
    export(lived, path, form="parquet")
    table = pq.read_table(path)
    faulty = tmp_path / "faulty.parquet"
    pq.write_table(table.set_column(7, "importance", [[2.0] * table.num_rows]), faulty)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(path.read_bytes()[:-100])
    with psycopg.connect(dsn, autocommit=True) as pg:
        for file, reason in (
            (faulty, "line 1: importance must be a number from 0 to 1"),
            (cut, "not a whole Parquet file"),
            (Path(tmp_path / "none.parquet"), "there is no file"),
        ):
            with pytest.raises(InputError, match=reason):
                load(file, pg, pg, table="public.other")
