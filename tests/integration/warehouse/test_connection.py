"""The warehouse: one writer at a time, created when missing, refused when it is not ours."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace

import duckdb
import pytest
from biomem.errors import ConfigurationError, WarehouseError
from biomem.warehouse.connection import open_warehouse, transaction
from biomem.warehouse.lock import warehouse_lock
from biomem.warehouse.schema import RAW_MIGRATIONS, read_migrations, schema_version

HOLD = """
import sys
from pathlib import Path
from biomem.warehouse.lock import warehouse_lock
with warehouse_lock(Path(sys.argv[1]), purpose="a test that holds it", shared=len(sys.argv) > 2):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(settings):
    """Another process that holds the lock."""
    started = []

    def hold(*shared):
        command = [sys.executable, "-c", HOLD, settings.home, *shared]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_a_fresh_warehouse_has_its_tables_in_the_newest_version(con):
    newest = len(read_migrations(RAW_MIGRATIONS))
    assert con.execute("select max(version) from raw.schema_version").fetchone() == (newest,)
    assert con.execute("select count(*) from raw.memories").fetchone() == (0,)
    assert con.execute("select current_setting('TimeZone')").fetchone() == ("UTC",)


def test_a_second_writer_waits_and_then_says_who_holds_it(settings, holder):
    process = holder()
    expected = rf"in use by process {process.pid} \(a test that holds it\)"
    with pytest.raises(WarehouseError, match=expected), open_warehouse(settings, wait_s=0.2):
        pytest.fail("two writers at once")


def test_the_lock_of_a_killed_process_is_free(settings, holder):
    process = holder()
    process.kill()
    process.wait()
    with open_warehouse(settings, wait_s=5) as con:
        assert con.execute("select 1").fetchone() == (1,)


def test_readers_share_and_a_writer_waits_for_them(settings, holder):
    with open_warehouse(settings):
        pass
    holder("shared")
    with open_warehouse(settings, read_only=True, wait_s=0.2) as con:
        assert con.execute("select count(*) from raw.memories").fetchone() == (0,)
    with pytest.raises(WarehouseError, match="in use"), open_warehouse(settings, wait_s=0.2):
        pytest.fail("a writer among readers")


def test_the_lock_can_be_taken_again_within_a_process(settings):
    with warehouse_lock(settings.home, wait_s=0.2), open_warehouse(settings, wait_s=0.2) as con:
        assert con.execute("select 1").fetchone() == (1,)


def test_a_forked_child_takes_the_lock_in_its_own_name(settings):
    def child():
        try:
            with warehouse_lock(settings.home, wait_s=0.2):
                os._exit(0)
        except WarehouseError:
            os._exit(7)

    with warehouse_lock(settings.home):
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
    assert process.exitcode == 7


def test_reading_a_warehouse_that_is_not_there_says_how_to_make_it(settings):
    with pytest.raises(WarehouseError, match=r"no warehouse at .* yet"), open_warehouse(settings, read_only=True):
        pytest.fail("opened nothing")
    assert not settings.warehouse_path.exists()


def test_a_warehouse_of_the_first_version_is_brought_up_to_date_with_all_it_holds(settings):
    first, *later = read_migrations(RAW_MIGRATIONS)
    settings.home.mkdir(parents=True)
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute("create schema raw")
        con.execute("create table raw.schema_version (version integer not null, name varchar not null)")
        con.execute(first.sql)
        con.execute("insert into raw.schema_version values (?, ?)", [first.version, first.name])
        con.execute("insert into raw.agents values ('ada')")
    with pytest.raises(WarehouseError, match="older biomem"), open_warehouse(settings, read_only=True):
        pytest.fail("read an older warehouse")
    with open_warehouse(settings) as con:
        assert schema_version(con) == len(later) + 1
        assert con.execute("from raw.agents").fetchall() == [("ada",)]


def test_a_warehouse_of_a_newer_version_is_refused(settings):
    with open_warehouse(settings) as con:
        con.execute("insert into raw.schema_version values (999, 'from the future')")
    for read_only in (True, False):
        with pytest.raises(WarehouseError, match="version 999"), open_warehouse(settings, read_only=read_only):
            pytest.fail("opened a newer warehouse")


def test_a_file_that_is_no_warehouse_is_refused_and_left_alone(settings):
    settings.home.mkdir(parents=True)
    settings.warehouse_path.write_bytes(b"not a database" * 1000)
    with pytest.raises(WarehouseError, match="cannot be opened"), open_warehouse(settings):
        pytest.fail("opened a text file")
    assert settings.warehouse_path.read_bytes().startswith(b"not a database")


def test_a_memory_limit_that_duckdb_does_not_know_is_named(settings):
    settings = replace(settings, max_memory="much")
    with pytest.raises(ConfigurationError, match="BIOMEM_MAX_MEMORY='much'"), open_warehouse(settings):
        pytest.fail("took any limit")


def test_for_long_work_as_much_memory_is_kept_for_the_next_statement_as_the_warehouse_may_use(settings):
    kept = "select current_setting('block_allocator_memory')"
    with open_warehouse(settings) as con:
        assert con.execute(kept).fetchone() == ("0 bytes",)
    with open_warehouse(replace(settings, max_memory="1GiB"), is_long=True) as con:
        assert con.execute(kept).fetchone() == ("1.0 GiB",)
        # what was kept cannot be taken back; whoever comes with a lower limit works with it nevertheless
        with open_warehouse(replace(settings, max_memory="500MiB"), is_long=True) as other:
            assert other.execute(kept).fetchone() == ("1.0 GiB",)


def test_a_limit_above_what_the_machine_has_is_no_obstacle(settings):
    with open_warehouse(replace(settings, max_memory="1000TB"), is_long=True) as con:
        assert con.execute("select current_setting('max_memory')").fetchone() == ("909.4 TiB",)


def insert_and_fail(con):
    with transaction(con):
        con.execute("insert into raw.agents values ('a')")
        con.execute("select 'x'::integer")


def test_a_failed_transaction_leaves_nothing(con):
    with pytest.raises(duckdb.ConversionException):
        insert_and_fail(con)
    assert con.execute("select count(*) from raw.agents").fetchone() == (0,)


def test_a_long_query_draws_no_bar_on_stdout(settings):
    with open_warehouse(settings) as con:
        assert con.execute("select current_setting('enable_progress_bar')").fetchone() == (False,)
