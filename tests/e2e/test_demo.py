"""The demo as a person runs it: a real Airflow, a real PostgreSQL, one small life; and what can go wrong with it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psutil
import psycopg
import pytest
from biomem.settings import load_settings
from biomem.warehouse.context import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

# on a busy machine Airflow alone takes a minute to start
pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]

BIOMEM = str(Path(sys.executable).parent / "biomem")
LIFE = [
    ("Met Leyla at the station; she is allergic to walnuts.", "2026-01-05T09:00:00Z"),
    ("Baked the walnut bread again.", "2026-01-05T09:00:20Z"),
    ("Met Leyla at the station; she is allergic to walnuts.", "2026-01-07T10:00:00Z"),
    ("Leyla lent me the blue bicycle. 🚲", "2026-01-07T10:00:10Z"),
    ("مرحبا ليلى", "2026-01-09T18:00:00Z"),
    ("The bicycle is back with Leyla.", "2026-03-01T12:00:00Z"),
]


def run(*arguments: str, home: Path, seconds: int = 600, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIOMEM, *arguments, "--home", str(home)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, **variables},
        check=False,
    )


def left_of(home: Path) -> list[str]:
    """Processes that have to do with `home`: by their command line, or by the folder they work in."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        words = " ".join(process.info["cmdline"] or [])
        if process.pid != os.getpid() and (str(home) in words or str(home) in (process.info["cwd"] or "")):
            found.append(f"{process.pid}: {words}")
    children = psutil.Process().children(recursive=True)
    return found + [f"{child.pid}: {child.name()}" for child in children if child.pid not in started_before]


started_before: set[int] = set()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # what the tests before these have started, a server for the whole session, is none of theirs
    started_before.update(child.pid for child in psutil.Process().children(recursive=True))
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def csv(home: Path) -> Path:
    path = home / "life.csv"
    rows = [f'm{number},ada,{at},"{text}"' for number, (text, at) in enumerate(LIFE)]
    path.write_text("\n".join(["id,agent,date,text", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def finished(home: Path, csv: Path) -> subprocess.CompletedProcess[str]:
    return run("demo", "--input", str(csv), home=home)


@pytest.fixture(scope="module")
def report(finished: subprocess.CompletedProcess[str], home: Path) -> dict[str, Any]:
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-4000:]
    return json.loads((home / "demo" / "report.json").read_text())


def test_every_task_of_every_rhythm_ran_in_airflow(report: dict[str, Any]) -> None:
    runs = report["airflow"]["runs"]
    assert [one["dag_id"] for one in runs] == list(STAGES)
    states = {(one["dag_id"], task["task_id"]): task["state"] for one in runs for task in one["tasks"]}
    assert set(states.values()) == {"success"}, states
    manifest = json.loads(load_settings().manifest_path.read_text())
    models = {node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    assert models <= {task for _, task in states}
    # where the pulls come together there is nothing to do, and no worker does it
    worked = [task for one in runs for task in one["tasks"] if task["task_id"] != "all_pulled"]
    assert all(task["seconds"] > 0 for task in worked)


def test_the_report_counts_what_came_in_and_what_is_remembered(report: dict[str, Any]) -> None:
    assert report["source"] == {"table": "public.memories", "rows": len(LIFE), "accesses": 0}
    assert report["warehouse"]["raw_rows"] == len(LIFE)
    assert set(report["memory"]) == {"working_memory", "short_term_windows", "long_term", "associations", "forgotten"}
    assert report["memory"]["short_term_windows"] == 4
    assert report["memory"]["associations"] >= 1
    assert report["as_of"] == "2026-03-01T12:00:30+00:00"


def test_the_report_on_the_terminal_tells_the_same(
    report: dict[str, Any], finished: subprocess.CompletedProcess[str]
) -> None:
    for title in ("working memory of ada", "last windows", "long-term", "associations", "Forgotten", "How long"):
        assert title in finished.stdout


def test_nothing_is_left_running(report: dict[str, Any], home: Path) -> None:
    assert left_of(home) == []


def test_the_password_is_written_nowhere_but_in_its_file(
    report: dict[str, Any], finished: subprocess.CompletedProcess[str], home: Path
) -> None:
    password = next(iter(json.loads((home / "airflow" / "passwords.json").read_text()).values()))
    assert password not in finished.stdout + finished.stderr
    for path in (home / "airflow" / "logs").rglob("*.log"):
        assert password not in path.read_text(errors="replace"), path


def test_memory_ids_and_texts_come_back_as_they_were(report: dict[str, Any], home: Path) -> None:
    from biomem.demo.postgres import embedded

    with embedded(load_settings(home, {})) as postgres, psycopg.connect(postgres.dsn()) as connection:
        rows = connection.execute("select memory_id, content from memory.memories order by memory_id").fetchall()
    assert rows == [(f"m{number}", text) for number, (text, _) in enumerate(LIFE)]


def test_the_rhythms_run_without_a_server_too_and_change_nothing_the_second_time(
    report: dict[str, Any], home: Path
) -> None:
    done = run("run", "short_term_memory", "--as-of", report["as_of"], "--json", home=home)
    assert done.returncode == 0, done.stderr
    (again,) = json.loads(done.stdout)["runs"]
    assert again["state"] == "success"
    before = {task["task_id"] for task in report["airflow"]["runs"][0]["tasks"]}
    assert {task["task_id"] for task in again["tasks"]} == before
    status = json.loads(run("status", "--json", home=home).stdout)
    assert status["airflow"] is None
    assert status["layers"]["memories"] == len(LIFE)
    assert left_of(home) == []


def test_a_window_to_which_nothing_is_new_leaves_out_its_models(report: dict[str, Any], home: Path) -> None:
    command = ("run", "short_term_memory", "--as-of", report["as_of"], "--json")
    # the first takes up what sleep did
    _, done = run(*command, home=home), run(*command, home=home)
    (again,) = json.loads(done.stdout)["runs"]
    states = {task["task_id"]: task["state"] for task in again["tasks"]}
    assert (states["memory_traces"], states["stm_windows"], states["publish"]) == ("skipped", "skipped", "success")


def test_what_is_in_mind_knows_of_associations_once_sleep_has_made_some(report: dict[str, Any], home: Path) -> None:
    assert run("run", "short_term_memory", "--as-of", report["as_of"], home=home).returncode == 0
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        view = con.execute("select sql from duckdb_views() where view_name = 'wm_active_context'").fetchall()
    assert "memory_associations" in view[0][0]


def test_an_instant_before_what_was_computed_is_said_to_be_that(report: dict[str, Any], home: Path) -> None:
    done = run("run", "short_term_memory", "--as-of", "2026-02-01", home=home)
    assert "nothing was changed" in done.stderr
    assert "rebuild" in done.stderr


def test_a_rhythm_that_does_not_exist_is_refused_with_those_that_do(home: Path) -> None:
    done = run("run", "daydreaming", home=home)
    assert done.returncode == 1
    assert "daydreaming" in done.stderr
    assert all(stage in done.stderr for stage in STAGES)


def test_a_taken_port_is_named_before_anything_starts(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for command in ("demo", "up"):
            done = run(command, "--port", str(port), home=home)
            assert done.returncode == 1
            assert f"port {port} is taken" in done.stderr
            assert "--port" in done.stderr
    assert left_of(home) == []


@pytest.fixture
def half_way(home: Path, csv: Path, report: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A demo whose Airflow is just starting."""
    process = subprocess.Popen(
        [BIOMEM, "demo", "--input", str(csv), "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    state = home / "airflow" / "running.json"
    deadline = time.monotonic() + 60
    while not (state.exists() and len(json.loads(state.read_text())["children"]) == 4):
        assert time.monotonic() < deadline, "Airflow does not start"
        time.sleep(0.1)
    yield process
    if process.poll() is None:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_it_half_way_leaves_nothing_running(
    half_way: subprocess.Popen[str], home: Path, number: signal.Signals
) -> None:
    half_way.send_signal(number)
    output, _ = half_way.communicate(timeout=60)
    assert half_way.returncode == 130
    assert "stopped" in output
    assert "Traceback" not in output
    assert left_of(home) == []


@pytest.mark.slow
def test_after_a_kill_the_next_one_cleans_up_and_works(half_way: subprocess.Popen[str], home: Path, csv: Path) -> None:
    half_way.kill()
    half_way.wait()
    assert left_of(home) != []
    done = run("demo", "--input", str(csv), home=home)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert left_of(home) == []


@pytest.mark.slow
def test_a_failing_task_ends_it_with_that_tasks_log(tmp_path: Path, csv: Path) -> None:
    done = run("demo", "--input", str(csv), home=tmp_path, BIOMEM_MAX_MEMORY="plenty")
    assert done.returncode == 1
    assert "pull_memories failed" in done.stderr
    assert "plenty" in done.stderr
    assert left_of(tmp_path) == []


@pytest.mark.slow
def test_airflow_for_daily_use_comes_up_runs_its_rhythms_and_goes_down(home: Path, report: dict[str, Any]) -> None:
    up = run("up", home=home)
    try:
        assert up.returncode == 0, up.stderr
        status = json.loads(run("status", "--json", home=home).stdout)
        assert status["airflow"]["url"] in up.stdout
        again = run("up", home=home)
        assert again.returncode == 1
        assert "runs already" in again.stderr
        deadline = time.monotonic() + 120
        while not any(stage["run_id"].startswith("scheduled__") for stage in status["stages"]):
            assert time.monotonic() < deadline, status
            time.sleep(2)
            status = json.loads(run("status", "--json", home=home).stdout)
    finally:
        down = run("down", home=home)
    assert down.returncode == 0
    assert left_of(home) == []
