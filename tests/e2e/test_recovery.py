"""Faults in a running Airflow: the next windows are right, and what was built bit by bit equals a rebuild."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest
from biomem.demo.postgres import connections
from biomem.errors import ServiceError
from biomem.settings import load_settings
from biomem_airflow.local import ports, supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from biomem.settings import Settings
    from biomem_airflow.local.state import LocalAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(1800)]

BIOMEM = str(Path(sys.executable).parent / "biomem")
PATIENCE_S = 400
CREATE = (
    "create table public.memories (id bigint generated always as identity primary key, agent_id text not null, "
    "content text not null, created_at timestamptz not null default now())"
)


class System:
    """A running Airflow with a source into which memories are written."""

    def __init__(self, settings: Settings, source_dsn: str, target_dsn: str, port: int) -> None:
        self.settings, self.source_dsn, self.target_dsn, self.port = settings, source_dsn, target_dsn, port

    def biomem(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [BIOMEM, *arguments, "--home", str(self.settings.home)]
        return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)

    def up(self) -> None:
        done = self.biomem("up", "--port", str(self.port))
        assert done.returncode == 0, done.stderr

    def write(self, count: int = 20) -> None:
        with psycopg.connect(self.source_dsn, autocommit=True) as pg:
            for number in range(count):
                pg.execute(
                    "insert into public.memories (agent_id, content) values (%s, %s)",
                    [f"agent-{number % 3}", f"planted apple tree number {number} at {time.time()}"],
                )

    def seen(self) -> tuple[int, int]:
        """Memories written, and memories published."""
        with psycopg.connect(self.source_dsn) as source, psycopg.connect(self.target_dsn) as target:
            written = source.execute("select count(*) from public.memories").fetchone()
            there = target.execute("select to_regclass('memory.memories')").fetchone() != (None,)
            published = target.execute("select count(*) from memory.memories").fetchone() if there else (0,)
        return int(written[0]), int(published[0])  # type: ignore[index]

    def wait_until_published(self) -> None:
        wait_for(lambda: len(set(self.seen())) == 1, "what was written becomes visible")

    def local(self) -> LocalAirflow:
        local = supervisor.running(self.settings)
        assert local is not None
        return local

    def task(self) -> psutil.Process:
        """The process of a task that is at work, and whose parent is the executor's worker."""

        def find() -> psutil.Process | None:
            for process in psutil.Process(self.local().supervisor_pid).children(recursive=True):
                try:
                    words = " ".join(process.cmdline())
                    if words.startswith("airflow worker -- ") and "LocalExecutor" not in words:
                        return process
                except psutil.NoSuchProcess:
                    continue
            return None

        return wait_for(find, "a task is at work")

    def answers(self) -> bool:
        try:
            psycopg.connect(self.source_dsn).close()
        except psycopg.OperationalError:
            return False
        return True

    def instances(self, **options: Any) -> list[dict[str, Any]]:
        """Tasks of windows that use the slot."""
        with closing(self.local().api()) as api:
            path = "/api/v2/dags/short_term_memory/dagRuns/~/taskInstances"
            found = api._call("GET", path, params=options)["task_instances"]
            return [one for one in found if one["pool"] == "duckdb_writer"]

    def stopped_task(self) -> psutil.Process:
        """The process of a task that holds the slot; stopped, so that it still does when it is looked at."""

        def stopped() -> psutil.Process | None:
            task = self.task()
            try:
                instance_id = task.cmdline()[-1].split()[-1]
                task.suspend()
            except (psutil.NoSuchProcess, IndexError):  # it has ended just now
                return None
            if any(one["id"] == instance_id for one in self.instances(state=["running"])):
                return task
            task.resume()
            return None

        found: psutil.Process = wait_for(stopped, "a task of the slot is stopped")
        return found

    def works_again_s(self, since: datetime) -> float:
        """Seconds until a task has worked again: one that began after `since` has ended well."""
        ended = wait_for(lambda: self.begun(since, state=["success"]), "a task works again")
        return (min(datetime.fromisoformat(one["end_date"]) for one in ended) - since).total_seconds()

    def begins_again_s(self, since: datetime) -> float:
        """Seconds until a task has begun after `since`."""
        begun = wait_for(lambda: self.begun(since, state=["running", "success", "failed"]), "a task begins")
        return (min(datetime.fromisoformat(one["start_date"]) for one in begun) - since).total_seconds()

    def begun(self, since: datetime, **options: Any) -> list[dict[str, Any]]:
        try:
            return self.instances(start_date_gte=since.isoformat(), **options)
        except ServiceError:  # its database is gone
            return []


def wait_for(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S} s"
        time.sleep(0.05)
    return found


DISK_MB = 1024


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A small disk of its own; None where none can be mounted."""
    folder = tmp_path_factory.mktemp("recovery")
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "biomem-recovery", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    yield folder if done.returncode == 0 else None
    if done.returncode == 0:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, disk: Path | None) -> Iterator[System]:
    home = disk / "home" if disk else tmp_path_factory.mktemp("recovery")
    settings = load_settings(home, {**os.environ})
    with ExitStack() as stack:
        dsns = stack.enter_context(connections(settings))
        with psycopg.connect(dsns.source_dsn, autocommit=True) as pg:
            pg.execute(CREATE)
        system = System(settings, dsns.source_dsn, dsns.target_dsn, ports.choose(None, preferred=8795).api)
        stack.callback(supervisor.stop, settings)
        system.write()
        system.up()
        system.wait_until_published()
        yield system


def kill_task(system: System) -> None:
    system.stopped_task().kill()


def kill_worker(system: System) -> None:
    task = system.stopped_task()
    worker = task.parent()
    assert worker is not None
    for process in (worker, task):
        process.kill()


def kill_scheduler(system: System) -> None:
    system.task()
    (scheduler,) = (child for child in system.local().children if child.name == "scheduler")
    os.kill(scheduler.pid, signal.SIGKILL)


def kill_postgres(system: System) -> None:
    system.task()
    pid_file = system.settings.postgres_dir / "data" / "postmaster.pid"
    postmaster = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
    postmaster.kill()
    postmaster.wait(10)


def stop_task(system: System) -> None:
    system.stopped_task()


@pytest.mark.parametrize(
    ("fault", "bound_s"),
    [(kill_task, 40), (kill_worker, 60), (kill_scheduler, 40), (kill_postgres, 60), (stop_task, 40)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_after_a_fault_the_windows_go_on_and_nothing_is_lost(
    system: System, fault: Callable[[System], None], bound_s: float
) -> None:
    system.write()
    fault(system)
    since = datetime.now(timezone.utc)
    wait_for(system.answers, "PostgreSQL answers")
    system.write()
    after_s = system.works_again_s(since)
    print(f"{fault.__name__}: the slot was used again after {after_s:.1f} s")
    assert after_s <= bound_s
    system.wait_until_published()


HANG = """
create function public.hang() returns trigger language plpgsql as 'begin perform pg_sleep(3600); return null; end';
create trigger hang before insert on memory.memories for each statement execute function public.hang();
"""
HANGING = "select pid from pg_stat_activity where wait_event = 'PgSleep' and query like '%memories%'"


def test_a_task_that_hangs_gives_the_slot_back_by_itself(system: System) -> None:
    with psycopg.connect(system.target_dsn, autocommit=True) as pg:
        pg.execute(HANG)
        system.write()
        wait_for(lambda: pg.execute(HANGING).fetchall(), "a publication hangs")
        since = datetime.now(timezone.utc)
        after_s = system.begins_again_s(since)
        print(f"hanging publication: the slot was used again after {after_s:.1f} s")
        pg.execute(f"select pg_terminate_backend(pid) from ({HANGING}) as hanging")
        pg.execute("drop function public.hang cascade")
    assert after_s <= 40
    system.wait_until_published()


def test_a_full_disk_is_told_and_nothing_is_lost(system: System, disk: Path | None) -> None:
    if disk is None:
        pytest.skip("no disk can be mounted here (that takes root): a full one was not tried")
    system.write(200)
    system.task()
    ballast = disk / "ballast"
    with ballast.open("wb") as file, suppress(OSError):
        while True:
            file.write(b"x" * 2**20)
    assert shutil.disk_usage(disk).free < 2**20
    time.sleep(75)  # two windows and more, and PostgreSQL is without room as well
    told = system.biomem("doctor")
    ballast.unlink()
    assert told.returncode == 1, told.stderr
    assert "make room" in told.stdout
    since = datetime.now(timezone.utc)
    wait_for(system.answers, "PostgreSQL answers")
    print(f"full disk: the slot was used again {system.works_again_s(since):.1f} s after there was room")
    system.write()
    system.wait_until_published()


def test_housekeeping_runs_beside_the_windows(system: System) -> None:
    done = system.biomem("run", "housekeeping", "--conf", '{"keep_days": 1}')
    assert done.returncode == 0, done.stderr
    system.write()
    system.wait_until_published()


def test_a_machine_that_was_switched_off_comes_back_by_up_alone(system: System) -> None:
    system.write()
    system.task()
    local = system.local()
    os.kill(local.supervisor_pid, signal.SIGKILL)
    for child in local.children:
        for process in child.session():
            process.kill()
    system.write()
    assert "was killed" in system.biomem("doctor").stdout
    system.up()
    system.wait_until_published()


def test_what_was_built_through_all_of_it_equals_a_rebuild(system: System) -> None:
    assert system.biomem("down").returncode == 0
    done = system.biomem("rebuild", "--verify")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
