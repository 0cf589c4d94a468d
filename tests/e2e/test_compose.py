"""The container stack, really built and run: the main job through Airflow's API, and a killed service.

Needs a Docker engine with Compose: the one that DOCKER_HOST or the default socket leads to, or one that a checkout
beside the project can start. Skipped, and loudly, where there is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
ENGINE_SCRIPTS = ROOT.parent / "shared" / "tools" / "containers"
STAGES = ("short_term_memory", "consolidation", "nightly_decay", "weekly_homeostasis")
NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
TABLE = """
create table public.memories (
    memory_id text primary key, agent_id text not null default 'default', session_id text, speaker text, content text,
    occurred_at timestamptz not null, updated_at timestamptz, importance real, arousal real, tags text[],
    metadata jsonb, deleted_at timestamptz)"""

pytestmark = [pytest.mark.slow, pytest.mark.docker, pytest.mark.airflow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which `docker` reaches an engine, and none of our own settings leak into the stack."""
    inherited = {key: os.environ[key] for key in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG") if key in os.environ}
    if _answers(inherited):
        yield inherited
        return
    if not (ENGINE_SCRIPTS / "up.sh").exists():
        reason = "no Docker engine with Compose answers: the container stack is NOT tested; set DOCKER_HOST"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    home = tmp_path_factory.mktemp("engine")
    subprocess.run([ENGINE_SCRIPTS / "up.sh", home], check=True, timeout=600)
    exports = dict(word.split("=", 1) for word in shlex.split((home / "env").read_text()) if "=" in word)
    yield inherited | exports
    subprocess.run([ENGINE_SCRIPTS / "down.sh", home], check=False, timeout=120)


def _answers(environment: dict[str, str]) -> bool:
    if shutil.which("docker", path=environment["PATH"]) is None:
        return False
    commands = (["docker", "info"], ["docker", "compose", "version"])
    return all(subprocess.run(c, env=environment, capture_output=True, check=False).returncode == 0 for c in commands)


@dataclass
class Stack:
    """The stack under a project name of its own, with its own ports and secrets."""

    home: Path
    environment: dict[str, str]
    airflow_port: int
    postgres_port: int
    name: str
    token: str = field(default="", repr=False)

    def docker_compose(self, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        command = ["docker", "compose", "--project-name", self.name, "--project-directory", str(ROOT)]
        command += ["--env-file", str(self.home / "settings.env")]
        command += ["--file", str(ROOT / "docker-compose.yml"), "--file", str(self.home / "by_hand.yml"), *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` and return what it prints; fail with that and the last words of the services."""
        result = self.docker_compose(*arguments, timeout_s=900)
        if result.returncode:
            logs = self.docker_compose("logs", "--no-color", "--tail", "30", timeout_s=60).stdout
            pytest.fail(f"docker compose {' '.join(arguments)}:\n{(result.stdout + result.stderr)[-4000:]}\n{logs}")
        return result.stdout

    def inspect(self, service: str, template: str) -> str:
        container = self.compose("ps", "--all", "--quiet", service).strip()
        command = ["docker", "inspect", "--format", template, container]
        return subprocess.check_output(command, env=self.environment, text=True).strip()

    def secret(self, name: str) -> str:
        return (self.home / "secrets" / f"{name}.txt").read_text().strip()

    def connect(self, role: str, secret: str, database: str = "biomem") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.postgres_port,
            user=role,
            password=self.secret(secret),
            dbname=database,
            autocommit=True,
        )

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        if not self.token and path != "/auth/token":
            login = {"username": "admin", "password": self.secret("admin_password")}
            self.token = self.api("/auth/token", login)["access_token"]
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.airflow_port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def run_dag(self, dag_id: str, as_of: datetime, timeout_s: float = 300) -> list[dict[str, Any]]:
        """Trigger the DAG, wait for it, and return its tasks. Fails with the log of the task that failed."""
        conf = {"as_of": as_of.isoformat()}
        runs = f"/api/v2/dags/{dag_id}/dagRuns"
        run_id = self.api(runs, {"logical_date": None, "conf": conf})["dag_run_id"]
        deadline = time.monotonic() + timeout_s
        while (state := self.api(f"{runs}/{run_id}")["state"]) in {"queued", "running"}:
            assert time.monotonic() < deadline, f"{dag_id} is still {state} after {timeout_s:.0f} s"
            time.sleep(1)
        tasks: list[dict[str, Any]] = self.api(f"{runs}/{run_id}/taskInstances")["task_instances"]
        failed = next((task for task in tasks if task["state"] == "failed"), None)
        assert state == "success", f"{dag_id} {state}\n{self.log_of(failed)[-5000:] if failed else tasks}"
        return tasks

    def log_of(self, task: dict[str, Any]) -> str:
        run = f"/api/v2/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}"
        log = self.api(f"{run}/taskInstances/{task['task_id']}/logs/{max(task['try_number'], 1)}?full_content=true")
        return "\n".join(f"{line.get('event', line)} {line.get('error_detail', '')}" for line in log["content"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def stack(engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("stack")
    subprocess.run([ROOT / "docker" / "make-secrets.sh", home / "secrets"], check=True, timeout=60)
    stack = Stack(home, engine, free_port(), free_port(), name=f"biomem-test-{os.getpid()}")
    settings = {
        "SECRETS_DIR": home / "secrets",
        "AIRFLOW_PORT": stack.airflow_port,
        "POSTGRES_PORT": stack.postgres_port,
        "BIOMEM_VERSION": "test",
        "BIOMEM_MAX_MEMORY": "1GB",
        "BIOMEM_THREADS": "2",
    }
    (home / "settings.env").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    # the rhythms would run at the time of day; this test lives in June
    (home / "by_hand.yml").write_text(
        "services: {airflow-scheduler: {environment: {AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE: 'False'}}}\n"
    )
    try:
        stack.compose("up", "--detach", "--build", "--wait")
        yield stack
    finally:
        stack.docker_compose("down", "--volumes", timeout_s=300)


@pytest.fixture(scope="module")
def loaded(stack: Stack) -> int:
    """The number of memories that an agent wrote: three topics, met again every week, last a moment ago."""
    topics = (
        "Ines keeps the spare key under the blue flower pot.",
        "The train to Porto leaves from platform four.",
        "Marta is allergic to walnuts, so no cake with nuts.",
    )
    rows = [
        (f"m{week}-{number}", "ada", f"s{week}", f"{topic} Week {week}.", NOW - timedelta(weeks=week, minutes=number))
        for week in range(10)
        for number, topic in enumerate(topics)
    ]
    with stack.connect("biomem_agent", "agent_password") as connection:
        connection.execute(TABLE)
        write(connection, rows)
    return len(rows)


def write(connection: psycopg.Connection[Any], rows: list[tuple[Any, ...]]) -> None:
    columns = "memory_id, agent_id, session_id, content, occurred_at"
    with connection.cursor() as cursor:
        cursor.executemany(f"insert into public.memories ({columns}) values (%s, %s, %s, %s, %s)", rows)


def wait_until(is_true: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, subprocess.CalledProcessError):
            if is_true():
                return
        time.sleep(1)
    pytest.fail(f"after {timeout_s:.0f} s still not: {what}")


def test_every_service_is_healthy_after_up_wait(stack: Stack) -> None:
    lines = stack.compose("ps", "--all", "--format", "json").splitlines()
    found = {service["Service"]: service["Health"] or service["ExitCode"] for service in map(json.loads, lines)}
    assert found == {
        "postgres": "healthy",
        "databases-init": 0,
        "airflow-init": 0,
        "airflow-api-server": "healthy",
        "airflow-scheduler": "healthy",
        "airflow-dag-processor": "healthy",
        "airflow-triggerer": "healthy",
    }


def test_the_api_wants_the_password_of_the_secret(stack: Stack) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        stack.api("/auth/token", {"username": "admin", "password": "admin"})
    assert stack.api("/api/v2/importErrors")["import_errors"] == []
    assert {dag["dag_id"] for dag in stack.api("/api/v2/dags")["dags"]} >= set(STAGES)


def test_the_pipelines_roles_can_do_no_more_than_they_must(stack: Stack, loaded: int) -> None:
    with stack.connect("biomem_reader", "source_password") as reader:
        assert reader.execute("select count(*) from public.memories").fetchone() == (loaded,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("delete from public.memories")
    with (
        stack.connect("biomem_writer", "target_password") as writer,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        writer.execute("select content from public.memories")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        stack.connect("biomem_reader", "source_password", database="airflow")


def test_no_secret_shows_in_the_containers_settings_or_processes(stack: Stack) -> None:
    shown = stack.compose("top") + "".join(
        stack.inspect(service, "{{json .Config}}") for service in ("postgres", "airflow-init", "airflow-scheduler")
    )
    told = [file.stem for file in (stack.home / "secrets").iterdir() if file.read_text().strip() in shown]
    assert told == []


def test_the_main_job_publishes_what_is_remembered(stack: Stack, loaded: int) -> None:
    for dag_id in STAGES:
        tasks = stack.run_dag(dag_id, NOW)
        assert {task["state"] for task in tasks} == {"success"}
    log = stack.log_of(tasks[-1])
    assert log, "the API server reads the logs that the scheduler wrote"
    assert stack.secret("target_password") not in log

    with stack.connect("biomem_agent", "agent_password") as agent:
        assert agent.execute("select count(*) from memory.memories").fetchone() == (loaded,)
        held = agent.execute("select count(*) from memory.working_memory where agent_id = 'ada'").fetchone()
        assert held is not None
        assert 1 <= held[0] <= 7
        stages = {row[0] for row in agent.execute("select distinct stage from memory.runs")}
        assert stages == set(STAGES)


def test_a_killed_scheduler_comes_back_and_goes_on(stack: Stack, loaded: int) -> None:
    # from inside: Docker does not start again what was killed through Docker
    kill_child_of_init = "kill -KILL $(cat /proc/1/task/1/children)"
    stack.docker_compose("exec", "-T", "airflow-scheduler", "sh", "-c", kill_child_of_init, timeout_s=60)
    state = "{{.RestartCount}} {{.State.Health.Status}}"
    wait_until(lambda: stack.inspect("airflow-scheduler", state) == "1 healthy", 180, "scheduler started again")

    with stack.connect("biomem_agent", "agent_password") as agent:
        write(agent, [("late", "ada", "s0", "The blue flower pot is broken.", NOW + timedelta(minutes=1))])
        stack.run_dag("short_term_memory", NOW + timedelta(minutes=2))
        assert agent.execute("select count(*) from memory.memories").fetchone() == (loaded + 1,)


def test_up_again_changes_nothing_and_keeps_what_was_remembered(stack: Stack, loaded: int) -> None:
    stack.compose("up", "--detach", "--wait")
    with stack.connect("biomem_agent", "agent_password") as agent:
        assert agent.execute("select count(*) from memory.memories").fetchone() == (loaded + 1,)


def test_down_with_volumes_leaves_nothing(stack: Stack) -> None:
    stack.compose("down", "--volumes")
    for kind in ("volume", "network"):
        command = ["docker", kind, "ls", "--quiet", "--filter", f"label=com.docker.compose.project={stack.name}"]
        assert subprocess.check_output(command, env=stack.environment, text=True) == ""
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={stack.name}"]
    assert subprocess.check_output(command, env=stack.environment, text=True) == ""
