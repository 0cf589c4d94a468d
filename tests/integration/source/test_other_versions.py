"""The same against the PostgreSQL that this machine has installed, which is seldom the version that is embedded."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import begin_stage
from biomem.warehouse.publish import publish_stage
from biomem.warehouse.target_schema import ensure_target_schema

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
    return installed


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
        begin_stage(con, "short_term_memory", run_id="r", as_of=as_of, params_hash="p")
        begin_stage(con, "weekly_homeostasis", run_id="r", as_of=as_of, params_hash="p")
        publish_stage(con, "weekly_homeostasis", dsn=dsn, run_id="r")
    assert memories.execute("select target_id from memory.semantic_network").fetchall() == [("tea",)]
    assert memories.execute("select terms from memory.gists").fetchall() == [(["tea", "cup"],)]
    assert memories.execute("select memory.retention(1, '2025-01-01+00', '2025-01-02+00')").fetchone() == (
        pytest.approx(0.9),
    )


def result_time(con):
    return con.execute("select max(pulled_as_of) from raw.pulls").fetchone()[0]
