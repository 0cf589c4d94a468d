from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import psycopg
import pytest
from biomem.demo import postgres as embedding
from biomem.demo.postgres import connections, embedded, is_running, revive
from biomem.errors import ServiceError, SourceError
from biomem.settings import load_settings

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home whose server has been made already: starting it is quick."""
    settings = load_settings(tmp_path_factory.mktemp("made"), {})
    with embedded(settings):
        pass
    return settings


@pytest.fixture
def settings(made):
    assert not is_running(made), "the test before left it running"
    return made


@pytest.fixture
def fresh(tmp_path):
    return load_settings(tmp_path / "home", {})


def become(uid):
    """Command that runs Python as another user; skips where that user cannot reach this interpreter."""
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", sys.executable]
    if shutil.which("setpriv") is None or subprocess.run([*command, "-c", "import psycopg"], check=False).returncode:
        pytest.skip(f"user {uid} cannot run {sys.executable}")
    return command


def answer(dsn, query="select 1"):
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchone()[0]


USER_SCRIPT = """
    import sys, time
    from pathlib import Path
    from biomem.settings import load_settings
    from biomem.demo.postgres import embedded
    import psycopg
    with embedded(load_settings(Path(sys.argv[1]), {})) as server:
        psycopg.connect(server.dsn()).close()
        print("up", flush=True)
        sys.stdin.readline()
        psycopg.connect(server.dsn()).close()
    print("left", flush=True)
"""


def use_elsewhere(home, python=(sys.executable,), **how):
    """Another process that uses the server until a line comes in."""
    process = subprocess.Popen(
        [*python, "-c", textwrap.dedent(USER_SCRIPT), str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **how,
    )
    return process


def leave(process):
    out, _ = process.communicate("\n", timeout=30)
    assert process.returncode == 0
    assert out.endswith("left\n")


def test_it_starts_at_once_serves_and_stops(fresh):
    settings = fresh
    with embedded(settings) as server:
        assert is_running(settings)
        assert answer(server.dsn()) == 1
        assert answer(server.dsn("airflow"), "select current_database()") == "airflow"
    assert not is_running(settings)
    begun = time.perf_counter()
    with embedded(settings) as server:
        assert time.perf_counter() - begun < 10
        assert answer(server.dsn("a name with 'quotes'"), "select current_database()") == "a name with 'quotes'"


def test_it_keeps_what_was_written_and_listens_on_no_network(settings):
    with embedded(settings) as server, psycopg.connect(server.dsn()) as connection:
        connection.execute("create table written as select 7 as n")
    with embedded(settings) as server:
        assert answer(server.dsn(), "select n from written") == 7
        for name, value in {"listen_addresses": "", "fsync": "on", "wal_level": "logical", "TimeZone": "UTC"}.items():
            assert answer(server.dsn(), f"show {name}") == value
        socket = server.socket_dir / embedding.SOCKET_NAME
        assert socket.stat().st_mode & 0o077 == 0


def test_the_url_leads_to_the_same_database(settings):
    with embedded(settings) as server:
        assert answer(server.url("airflow"), "select current_database()") == "airflow"
        assert server.url("airflow", "postgresql+psycopg2").startswith("postgresql+psycopg2://biomem@/airflow?host=/")


def test_a_path_too_long_for_a_socket_and_full_of_odd_signs_works(tmp_path):
    home = tmp_path / ("deep " * 12) / 'it\'s $HOME "quoted" # and % more' / ("d" * 60)
    settings = load_settings(home, {})
    with embedded(settings) as server:
        assert answer(server.dsn()) == 1
        assert answer(server.url()) == 1
        folder = server.socket_dir
    assert len(os.fsencode(folder / embedding.SOCKET_NAME)) <= embedding.SOCKET_PATH_LIMIT
    folder.rmdir()


def test_a_killed_server_recovers(settings):
    with embedded(settings) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("create table kept as select 7 as n")
        killed = embedding._Server(settings.postgres_dir).process()
        killed.kill()
        killed.wait(10)
        assert not is_running(settings)
    assert (settings.postgres_dir / "data" / "postmaster.pid").exists()
    with embedded(settings) as server:
        assert answer(server.dsn(), "select n from kept") == 7


def test_a_server_that_was_killed_under_its_users_is_revived_and_their_connection_strings_hold(settings):
    with embedded(settings) as server:
        dsn = server.dsn()
        assert not revive(settings)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("create table held as select 7 as n")
            # nobody waits for it: it stays a zombie, whose pid is alive
            embedding._Server(settings.postgres_dir).process().kill()
            until = time.monotonic() + 10
            while is_running(settings) and time.monotonic() < until:
                time.sleep(0.01)
            assert revive(settings)
        assert answer(dsn, "select n from held") == 7
    assert not is_running(settings)


def test_a_pid_file_that_names_another_program_does_not_count(settings):
    with embedded(settings):
        pass
    pid_file = settings.postgres_dir / "data" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{settings.postgres_dir / 'data'}\n0\n5432\n/nowhere\n\n\nready\n")
    assert not is_running(settings)
    with embedded(settings) as server:
        assert answer(server.dsn()) == 1
    assert psutil.pid_exists(os.getpid())


def test_two_who_start_at_once_share_one_server(settings):
    first, second = use_elsewhere(settings.home), use_elsewhere(settings.home)
    assert first.stdout.readline() == second.stdout.readline() == "up\n"
    leave(first)
    assert is_running(settings), "the second one still uses it"
    leave(second)
    assert not is_running(settings)


def test_the_starter_may_leave_first(settings):
    starter = use_elsewhere(settings.home)
    assert starter.stdout.readline() == "up\n"
    with embedded(settings) as server:
        leave(starter)
        assert answer(server.dsn()) == 1
    assert not is_running(settings)


def test_a_user_that_was_killed_is_not_counted(settings):
    killed = use_elsewhere(settings.home)
    assert killed.stdout.readline() == "up\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert is_running(settings), "nobody was there to stop it"
    with embedded(settings) as server:
        assert answer(server.dsn()) == 1
    assert not is_running(settings)


def test_one_process_may_use_it_twice(settings):
    with embedded(settings) as outer:
        with embedded(settings) as inner:
            assert answer(inner.dsn()) == 1
        assert answer(outer.dsn()) == 1


def test_an_error_inside_stops_it_all_the_same(settings):
    with contextlib.suppress(ZeroDivisionError), embedded(settings):
        raise ZeroDivisionError
    assert not is_running(settings)


def test_a_half_made_cluster_is_made_again(fresh):
    settings = fresh
    (settings.postgres_dir / "data.new").mkdir(parents=True)
    (settings.postgres_dir / "data.new" / "PG_VERSION").write_text("18\n")
    with embedded(settings) as server:
        assert answer(server.dsn()) == 1


@is_root
def test_an_unprivileged_user_can_start_it(tmp_path):
    nobody = 12345  # has no name, as in some containers
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 33, 33)
    for folder in [home, *home.parents][:4]:
        folder.chmod(folder.stat().st_mode | 0o711)
    process = use_elsewhere(home, python=become(33))
    assert process.stdout.readline() == "up\n"
    leave(process)
    settings = load_settings(home, {})
    assert (settings.postgres_dir / "data").stat().st_uid == 33
    with embedded(settings) as server:  # and root comes to the same data later
        assert answer(server.dsn()) == 1
    os.chown(home, nobody, nobody)
    refused = use_elsewhere(home, python=become(nobody), stderr=subprocess.PIPE)
    _, stderr = refused.communicate("\n", timeout=30)
    assert "ServiceError" in stderr


@is_root
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    for folder in [home, *home.parents][:4]:
        folder.chmod(folder.stat().st_mode | 0o711)
    refused = use_elsewhere(home, python=become(33), stderr=subprocess.PIPE)
    _, stderr = refused.communicate("\n", timeout=30)
    assert "ServiceError" in stderr
    assert "Make it writable for you, or name another place with --home" in stderr


def test_a_file_in_the_way_is_named(fresh):
    settings = fresh
    settings.home.mkdir()
    settings.postgres_dir.write_text("in the way")
    with pytest.raises(ServiceError, match="cannot use"), embedded(settings):
        pass


def test_a_disk_without_room_is_named_before_anything_is_made(fresh, monkeypatch):
    settings = fresh
    monkeypatch.setattr(embedding, "BYTES_TO_START", 2**62)
    with pytest.raises(ServiceError, match=r"MB free.*make room, or name another place"), embedded(settings):
        pass
    assert not (settings.postgres_dir / "data").exists()


@is_root
def test_a_disk_that_fills_up_is_named(tmp_path):
    home = tmp_path / "small"
    home.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", home], check=False).returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        with pytest.raises(ServiceError, match="MB free"), embedded(load_settings(home, {})):
            pass
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(embedding, "BYTES_TO_START", 0)
            with pytest.raises(ServiceError, match="no space left"), embedded(load_settings(home, {})):
                pass
    finally:
        subprocess.run(["umount", home], check=True)


def test_data_of_another_version_is_left_alone(fresh):
    settings = fresh
    data = settings.postgres_dir / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("15\n")
    with pytest.raises(ServiceError, match="made by PostgreSQL 15 and this is PostgreSQL 18"), embedded(settings):
        pass


def test_a_server_that_will_not_start_shows_the_end_of_its_log(settings):
    configuration = settings.postgres_dir / "data" / "postgresql.conf"
    before = configuration.read_text()
    try:
        configuration.write_text(before + "max_connections = many\n")
        with pytest.raises(ServiceError, match=r"did not start(.|\n)*max_connections"), embedded(settings):
            pass
    finally:
        configuration.write_text(before)


def test_connections_fall_back_to_the_embedded_server(settings):
    with connections(settings) as at:
        assert at.is_embedded
        assert at.source_dsn == at.target_dsn
        assert answer(at.target_dsn, "select current_database()") == "biomem"


def test_connections_take_the_environment_and_start_nothing(dsn, tmp_path):
    settings = load_settings(tmp_path, {"BIOMEM_SOURCE_DSN": dsn})
    with connections(settings) as at:
        assert not at.is_embedded
        assert at.target_dsn == at.source_dsn
    assert not settings.postgres_dir.exists()


@pytest.fixture
def guarded(settings):
    """Connection string of a server that asks user `guest` for a password."""
    with embedded(settings) as server:
        hba = Path(answer(server.dsn(), "show hba_file"))
        before = hba.read_text()
        hba.write_text(f"local all guest scram-sha-256\n{before}")
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("drop role if exists guest")
            connection.execute("create role guest login password 'right'")
            connection.execute("select pg_reload_conf()")
        time.sleep(0.3)
        yield f"host={server.socket_dir} user=guest dbname=biomem"
        hba.write_text(before)


def refusal(dsn, tmp_path):
    with pytest.raises(SourceError) as caught, connections(load_settings(tmp_path, {"BIOMEM_SOURCE_DSN": dsn})):
        pass
    assert "BIOMEM_SOURCE_DSN" in str(caught.value)
    return str(caught.value)


def test_a_wrong_password_is_said_in_plain_words_and_never_shown(guarded, tmp_path):
    message = refusal(f"{guarded} password=sesame", tmp_path)
    assert "refused the password of user 'guest'" in message
    assert "sesame" not in message


def test_a_missing_password_is_said_in_plain_words(guarded, tmp_path):
    assert "wants a password for user 'guest'" in refusal(guarded, tmp_path)


def test_an_unknown_database_or_user_is_named(postgres, tmp_path):
    host = f"host={postgres.socket_dir}"
    assert 'database "nowhere"' in refusal(f"{host} user=biomem dbname=nowhere", tmp_path)
    assert "no user 'nobody_here'" in refusal(f"{host} user=nobody_here dbname=biomem", tmp_path)


def test_a_server_that_is_not_there_is_named(tmp_path):
    assert "127.0.0.1:1) does not answer" in refusal("postgresql://u:p@127.0.0.1:1/db", tmp_path)
    assert "no host is known" in refusal("postgresql://u:p@host.invalid/db", tmp_path)
