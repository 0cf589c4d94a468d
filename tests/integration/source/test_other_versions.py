"""The same against the PostgreSQL that this machine has installed, which is seldom the version that is embedded."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path

import psycopg
import pytest
from biomem.source.doctor import server as doctor_server
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import begin_stage
from biomem.warehouse.publish import publish_stage
from biomem.warehouse.target_schema import ensure_target_schema
from psycopg.sql import SQL, Identifier
from tables_of_others import CODEX, MEM0, mem0_rows

_numbers = count(1)
T = "2025-06-01 12:00:00+00"


@pytest.fixture(scope="module")
def installed():
    """A cluster made by the initdb on the PATH; the connection string of its database."""
    initdb, server = shutil.which("initdb"), shutil.which("postgres")
    if initdb is None or server is None:
        pytest.skip("no initdb and postgres on the PATH: the pull was not tried against an installed PostgreSQL")
    folder = Path(tempfile.mkdtemp(prefix="biomem-tests-installed-"))
    # PostgreSQL refuses to run as root
    user = {"user": "nobody"} if os.geteuid() == 0 else {}
    if user:
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    data = folder / "data"
    subprocess.run([initdb, "-D", data, "-U", "biomem", "--auth=trust"], check=True, capture_output=True, **user)
    command = [server, "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
    command += ["-c", "max_prepared_transactions=2"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **user)
    try:
        dsn = psycopg.conninfo.make_conninfo(host=str(folder), user="biomem", dbname="postgres")
        wait_until_it_answers(dsn)
        yield dsn
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_it_answers(dsn):
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "the installed PostgreSQL did not start"
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def dsn(installed):
    """A database of the test's own."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(installed, autocommit=True) as connection:
        connection.execute(SQL("create database {}").format(Identifier(name)))
    return psycopg.conninfo.make_conninfo(installed, dbname=name)


def test_memories_and_accesses_are_pulled_and_results_published(memories, settings, dsn, pull, raw):
    write = "insert into memories (memory_id, content, occurred_at, tags) values (%s, 'x', %s, '{a}')"
    ensure_target_schema(dsn)
    with psycopg.connect(dsn) as slow:
        slow.execute(write, ["late", T])
        memories.execute(write, ["a", T])
        memories.execute(write, ["b", T])
        assert pull().rows_inserted == 2
        slow.commit()
    memories.execute("update memories set content = 'y' where memory_id = 'a'")
    memories.execute("delete from memories where memory_id = 'b'")
    memories.execute(
        "insert into memory.access_log (memory_id, agent_id, accessed_at) values ('a', 'default', %s)", [T]
    )
    result = pull()
    assert (result.rows_inserted, result.rows_updated, result.rows_deleted) == (1, 1, 1)
    assert raw("select memory_id from raw.access_log") == [("a",)]
    with open_warehouse(settings) as con:
        con.execute(
            "create table ltm_semantic_network as select 'default' as agent_id, 'about' as relation, 'a' as source_id, "
            "'tea' as target_id, .5 as strength, 'tea' as community_id"
        )
        con.execute(
            "create table memory_associations as select 'default' as agent_id, 'a' as memory_a, 'late' as memory_b, "
            "1.0 as trace, timestamptz '2025-06-01' as last_coactive_at, 1 as coactivations"
        )
        con.execute(
            "create table gists as select 'default' as agent_id, 'tea' as community_id, 'a' as medoid_memory_id, "
            "0.5 as medoid_centrality, ['tea', 'cup'] as terms, 2::bigint as concepts, 1::bigint as memories"
        )
        as_of = result_time(con)
        for stage in ("short_term_memory", "consolidation", "weekly_homeostasis"):
            assert begin_stage(con, stage, run_id="r", as_of=as_of, params_hash="p").status == "ready"
        publish_stage(con, "weekly_homeostasis", dsn=dsn, run_id="r")
    assert memories.execute("select target_id from memory.semantic_network").fetchall() == [("tea",)]
    assert memories.execute("select terms from memory.gists").fetchall() == [(["tea", "cup"],)]
    assert memories.execute("select memory.retention(1, '2025-01-01+00', '2025-01-02+00')").fetchone() == (
        pytest.approx(0.9),
    )


def result_time(con):
    return con.execute("select max(pulled_as_of) from raw.pulls").fetchone()[0]


def test_codex_and_mem0_tables_are_mapped_examined_and_pulled(pg, biomem, raw):
    pg.execute(CODEX)
    pg.execute(
        "insert into memories (content, content_hash, context, summary) values ('We use DuckDB.', 'h', 'c', 's')"
    )
    # pgvector is seldom installed; Mem0's vectors are then arrays
    pg.execute(MEM0.replace("create extension if not exists vector;", "").replace("vector(3)", "real[]"))
    for row in mem0_rows():
        pg.execute("insert into mem0 values (%s, %s, %s)", row)
    assert biomem("source", "map").exit_code == 0
    assert biomem("source", "map", "--table", "mem0").exit_code == 0
    examined = biomem("source", "doctor")
    assert examined.exit_code == 0, examined.stdout
    assert "warn" not in examined.stdout
    assert biomem("source", "pull").exit_code == 0
    assert raw("select source_name, content, agent_id from raw.memories order by all") == [
        ("public.mem0", "Likes oolong", "noor"),
        ("public.mem0", "Lives in Leiden", "milo"),
        ("public.memories", "We use DuckDB.", "default"),
    ]


def test_types_of_extensions_arrive(pg, pull, raw):
    if not {"citext", "hstore"} <= {name for (name,) in pg.execute("select name from pg_available_extensions")}:
        pytest.skip("the installed PostgreSQL has no contrib extensions")
    pg.execute("create schema ext; create extension citext schema ext; create extension hstore schema ext")
    pg.execute(
        "create table memories (id ext.citext primary key, content xml, created_at ext.citext, metadata ext.hstore, "
        "tags ext.citext[])"
    )
    pg.execute("insert into memories values ('A', '<a>b</a>', '2025-06-01T12:00Z', 'k=>1, n=>NULL', '{Red}')")
    pull()
    assert raw("select memory_id, content, occurred_at::varchar, metadata, tags from raw.memories") == [
        ("A", "<a>b</a>", T, '{"k": "1", "n": null}', ["Red"])
    ]


def test_a_prepared_transaction_is_told_by_the_doctor_and_its_row_comes_when_it_is_committed(
    memories, biomem, pull, raw, monkeypatch
):
    monkeypatch.setattr(doctor_server, "LONG_PREPARED_S", 0)
    memories.execute("begin; insert into memories (memory_id, content, occurred_at) values ('late', 'x', now())")
    memories.execute("prepare transaction 'it''s odd'")
    assert pull().rows_inserted == 0
    assert "commit prepared 'it''s odd' or rollback prepared 'it''s odd'" in biomem("source", "doctor").stdout
    for number in range(3):
        memories.execute(
            "insert into memories (memory_id, content, occurred_at) values (%s, 'x', now())", [str(number)]
        )
        pull()
    memories.execute("commit prepared 'it''s odd'")
    pull()
    assert ("late",) in raw("select memory_id from raw.memories")
