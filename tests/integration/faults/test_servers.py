"""What happens to servers: standbys and failovers, restores, prepared transactions, lost slots, wraparound."""

from __future__ import annotations

import shutil
import time

import pytest
from biomem.errors import SourceError
from biomem.source.cursors import slots
from biomem.source.mapping import CURSORS, load_sources
from biomem.source.reading import describe_source

T = "2025-01-01 00:00:00+00"


def insert(cluster, *ids, content="x"):
    with cluster.connect(autocommit=True) as pg:
        for memory_id in ids:
            pg.execute(
                "insert into memories (memory_id, content, occurred_at) values (%s, %s, %s)", [memory_id, content, T]
            )


def wait_until_replayed(primary, standby):
    with primary.connect(autocommit=True) as pg, standby.connect(autocommit=True) as other:
        (upto,) = pg.execute("select pg_current_wal_lsn()::text").fetchone()
        deadline = time.monotonic() + 30
        while not other.execute("select pg_last_wal_replay_lsn() >= %s::pg_lsn", [upto]).fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def wait_until_primary(server):
    with server.connect(autocommit=True) as pg:
        deadline = time.monotonic() + 30
        while pg.execute("select pg_is_in_recovery()").fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(autouse=True)
def only_by_the_cursor(monkeypatch):
    monkeypatch.setattr("biomem.source.staging.SMALL_SOURCE_ROWS", -1)


@pytest.mark.parametrize("cursor", ["xmin_window", "xid8_column"])
def test_a_standby_is_pulled_like_its_primary(clusters, cluster, pull, cursor):
    pull.prepare(cursor, cluster.dsn())
    insert(cluster, "a", "b")
    standby = clusters(standby_of=cluster)
    wait_until_replayed(cluster, standby)
    pull(standby.dsn())
    with cluster.connect() as slow:
        slow.execute("insert into memories (memory_id, occurred_at) values ('late', now())")
        insert(cluster, "c")
        wait_until_replayed(cluster, standby)
        assert pull(standby.dsn()).rows_inserted == 1
        slow.commit()
    wait_until_replayed(cluster, standby)
    result = pull(standby.dsn())
    assert (result.rows_inserted, result.is_full) == (1, False)
    assert pull.differences(cluster.dsn()) == []


def test_a_slot_on_a_standby_is_refused_with_what_to_do(clusters, cluster, pull):
    pull.map("logical_slot")
    standby = clusters(standby_of=cluster)
    (source,) = load_sources(pull.settings)
    with pytest.raises(SourceError, match="make the slot on its primary, or use cursor xmin_window"):
        slots.create_slot(describe_source(source, standby.dsn()), standby.dsn())


@pytest.mark.parametrize("cursor", ["xmin_window", "xid8_column"])
def test_a_failover_that_lost_transactions_is_noticed_and_everything_read_anew(clusters, cluster, pull, cursor):
    pull.prepare(cursor, cluster.dsn())
    insert(cluster, "kept")
    standby = clusters(standby_of=cluster)
    wait_until_replayed(cluster, standby)
    standby.stop()
    insert(cluster, *(f"lost {number}" for number in range(20)))
    pull(cluster.dsn())
    cluster.kill()
    standby.start()
    standby.promote()
    wait_until_primary(standby)
    # their transactions get numbers that the lost ones had, and more, so that the horizon tells nothing
    insert(standby, *(f"new {number}" for number in range(40)))
    result = pull(standby.dsn())
    assert result.full_because == "the server has begun a new timeline: it was restored, or a standby has taken over"
    assert (result.rows_inserted, result.rows_deleted) == (40, 20)
    assert pull.differences(standby.dsn()) == []


@pytest.mark.parametrize("cursor", CURSORS)
def test_files_that_were_put_back_are_noticed_by_a_mark_that_lies_ahead(cluster, pull, cursor, new_folder):
    pull.prepare(cursor, cluster.dsn())
    insert(cluster, "kept")
    cluster.stop()
    copy = new_folder() / "copy"
    shutil.copytree(cluster.data, copy, symlinks=True)
    stat = cluster.data.stat()
    cluster.start()
    insert(cluster, *(f"lost {number}" for number in range(20)))
    pull(cluster.dsn())
    cluster.stop()
    shutil.rmtree(cluster.data)
    shutil.copytree(copy, cluster.data, symlinks=True)
    for path in (cluster.data, *cluster.data.rglob("*")):
        shutil.chown(path, stat.st_uid)
    cluster.start()
    insert(cluster, "new")
    result = pull(cluster.dsn())
    assert "restored from a backup" in result.full_because
    assert (result.rows_inserted, result.rows_deleted) == (1, 20)
    assert pull.differences(cluster.dsn()) == []


@pytest.mark.parametrize("cursor", CURSORS)
def test_a_prepared_transaction_is_not_lost_however_long_it_waits(cluster, pull, cursor):
    pull.prepare(cursor, cluster.dsn())
    pull(cluster.dsn())
    with cluster.connect() as pg:
        pg.execute("insert into memories (memory_id, occurred_at) values ('prepared', '2025-01-01')")
        pg.execute("prepare transaction 'two-phase'")
        pg.commit()
    for number in range(3):
        insert(cluster, f"meanwhile {number}")
        assert pull(cluster.dsn()).rows_inserted == 1
    cluster.stop()
    cluster.start()
    with cluster.connect(autocommit=True) as pg:
        pg.execute("commit prepared 'two-phase'")
    assert pull(cluster.dsn()).rows_inserted == 1
    assert pull.differences(cluster.dsn()) == []


def test_a_slot_that_the_server_gave_up_is_made_anew_and_everything_read(cluster, pull, caplog):
    pull.prepare("logical_slot", cluster.dsn())
    insert(cluster, "a")
    pull(cluster.dsn())
    with cluster.connect(autocommit=True) as pg:
        pg.execute("alter system set max_slot_wal_keep_size = '1MB'")
        pg.execute("alter system set min_wal_size = '32MB'")
        pg.execute("alter system set max_wal_size = '32MB'")
        pg.execute("select pg_reload_conf()")
        pg.execute("update memories set content = 'edited while the slot was lost'")
        pg.execute("insert into memories (memory_id, content, occurred_at) values ('b', 'x', '2025-01-01')")
        for _ in range(6):
            pg.execute("select pg_switch_wal()")
            pg.execute("checkpoint")
        assert pg.execute("select wal_status from pg_replication_slots").fetchone() == ("lost",)
    result = pull(cluster.dsn())
    assert "the server gave up slot biomem_m" in result.full_because
    assert "pull more often, or raise the setting" in caplog.text
    assert (result.rows_inserted, result.rows_updated) == (1, 1)
    insert(cluster, "c")
    assert not pull(cluster.dsn()).is_full
    assert pull.differences(cluster.dsn()) == []


def test_a_slot_holds_back_no_more_than_the_last_pull_left(cluster, pull):
    pull.prepare("logical_slot", cluster.dsn())
    (source,) = load_sources(pull.settings)
    pull(cluster.dsn())
    with cluster.connect(autocommit=True) as pg:
        pg.execute("create table other as select md5(n::text) from generate_series(1, 50000) as n")
    assert slots.slot_state(source, cluster.dsn()).kept_bytes > 3_000_000
    pull(cluster.dsn())
    with cluster.connect(autocommit=True) as pg:
        # what lies before the oldest running transaction goes with the next one that the server notes down
        pg.execute("checkpoint")
    pull(cluster.dsn())
    assert slots.slot_state(source, cluster.dsn()).kept_bytes < 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("cursor", CURSORS)
def test_transaction_numbers_wrap_around_and_nothing_is_lost(cluster, pull, cursor):
    pull.prepare(cursor, cluster.dsn())
    insert(cluster, "first")
    pull(cluster.dsn())
    reasons = []
    # in steps below 2^31, each followed by a freeze, as a server lives through it in years
    for number in (1_500_000_000, 3_000_000_000, 4_294_967_000):
        if cursor == "logical_slot":
            slots.drop_slot(load_sources(pull.settings)[0], cluster.dsn())
        cluster.stop()
        jump(cluster, number)
        cluster.start()
        if cursor == "logical_slot":
            pull.prepare(cursor, cluster.dsn())
        with cluster.connect(autocommit=True) as pg:
            for (name,) in pg.execute("select datname from pg_database where datallowconn").fetchall():
                with cluster.connect(autocommit=True, dbname=name) as other:
                    other.execute("vacuum (freeze)")
        reasons.append(pull(cluster.dsn()).full_because)
    for number in range(400):
        insert(cluster, f"around {number}")
        if number % 40 == 0:
            result = pull(cluster.dsn())
            assert not result.is_full, result.full_because
    with cluster.connect(autocommit=True) as pg:
        now = int(pg.execute("select pg_current_xact_id()::text").fetchone()[0])
        assert now > 2**32
        pg.execute("update memories set content = 'edit' where memory_id = 'first'")
    pull(cluster.dsn(), reconcile=True)
    assert pull.differences(cluster.dsn()) == []


def jump(cluster, next_xid):
    """Let the next transaction have this number, as if all before it had been used."""
    segment = cluster.data / "pg_xact" / f"{next_xid // (32 * 8192 * 4):04X}"
    cluster.run("pg_resetwal", "-D", cluster.data, "-x", str(next_xid))
    if not segment.exists():
        # two bits a transaction: all in progress, which a server of that age has as a file of zeros
        segment.write_bytes(bytes(32 * 8192))
        shutil.chown(segment, cluster.data.stat().st_uid)
