"""Starting children and leaving nothing behind, with real processes."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from biomem.errors import ServiceError
from biomem_airflow.local import ports, processes

if TYPE_CHECKING:
    from pathlib import Path

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
print(child.pid, flush=True)
time.sleep(60)
"""
ORPHANING = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
"""


def start(code: str, log: Path) -> processes.Child:
    return processes.start("test", [sys.executable, "-c", code], {"FOO": "1"}, log)


def first_line(log: Path) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if log.exists() and log.read_text().endswith("\n"):
            return log.read_text().split("\n")[0]
        time.sleep(0.02)
    raise AssertionError(f"{log} stays empty")


def test_a_child_that_ignores_the_request_is_killed_with_its_own_children(tmp_path: Path) -> None:
    child = start(STUBBORN, tmp_path / "log")
    grandchild = int(first_line(child.log))
    processes.end([child], patience_s=0.3)
    assert not child.is_running()
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def test_what_outlived_its_parent_is_ended_too(tmp_path: Path) -> None:
    child = start(ORPHANING, tmp_path / "log")
    orphan = int(first_line(child.log))
    os.waitpid(child.pid, 0)
    assert [process.pid for process in child.session()] == [orphan]
    processes.end([child], patience_s=0)
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE


def test_a_process_that_got_the_pid_later_is_left_alone(tmp_path: Path) -> None:
    child = start("import time; time.sleep(60)", tmp_path / "log")
    mistaken = processes.Child("test", child.pid, child.started - 100, child.log)
    assert not mistaken.is_running()
    processes.end([mistaken], patience_s=0)
    assert child.is_running()
    processes.end([child], patience_s=2)
    assert not child.is_running()


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"port {port} is taken.*--port"):
            ports.choose(port)
        assert ports.choose(None, preferred=port).api != port


def test_the_ports_of_one_airflow_differ() -> None:
    chosen = ports.choose(None)
    assert len({chosen.api, chosen.worker_logs, chosen.trigger_logs}) == 3
