"""What the supervisor remembers of its services, with real processes."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from biomem_airflow.local import processes
from biomem_airflow.local.watch import (
    FORGET_S,
    REVIVALS,
    SILENT_S,
    STOPPED_S,
    Revivals,
    SilentParts,
    StoppedProcesses,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARENT = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0).pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[processes.Child]:
    child = processes.start("test", [sys.executable, "-c", PARENT], {}, tmp_path / "log")
    yield child
    processes.end([child], patience_s=0)


@pytest.fixture
def grandchild(child: processes.Child) -> psutil.Process:
    while not (line := child.tail()):
        assert child.is_running()
    return psutil.Process(int(line))


def stop(process: psutil.Process) -> None:
    process.suspend()
    while process.status() != psutil.STATUS_STOPPED:  # a signal takes its time on a busy machine
        time.sleep(0.01)


def go_on(process: psutil.Process) -> None:
    process.resume()
    while process.status() == psutil.STATUS_STOPPED:
        time.sleep(0.01)


def test_a_service_that_dies_again_and_again_is_given_up() -> None:
    revivals = Revivals()
    assert not any(revivals.are_in_vain("scheduler", now_s) for now_s in range(REVIVALS))
    assert not revivals.are_in_vain("triggerer", REVIVALS)
    assert revivals.are_in_vain("scheduler", REVIVALS)


def test_a_service_that_has_lived_for_long_begins_at_zero() -> None:
    revivals = Revivals()
    assert not any(revivals.are_in_vain("scheduler", number * FORGET_S) for number in range(3 * REVIVALS))


def test_a_process_that_stays_stopped_is_named_after_a_while(
    child: processes.Child, grandchild: psutil.Process
) -> None:
    watch = StoppedProcesses()
    stop(grandchild)
    assert watch.overdue([child], 100.0) == []
    assert watch.overdue([child], 99.0 + STOPPED_S) == []
    assert watch.overdue([child], 100.0 + STOPPED_S) == [grandchild]
    go_on(grandchild)
    assert watch.overdue([child], 101.0 + STOPPED_S) == []


def test_a_process_that_is_continued_is_left_alone(child: processes.Child, grandchild: psutil.Process) -> None:
    watch = StoppedProcesses()
    stop(grandchild)
    watch.overdue([child], 100.0)
    go_on(grandchild)
    assert watch.overdue([child], 110.0) == []
    stop(grandchild)
    assert watch.overdue([child], 100.0 + STOPPED_S) == []


def test_a_part_that_is_not_heard_of_is_named_after_a_while() -> None:
    watch = SilentParts()
    well, ill = {"scheduler": "healthy"}, {"scheduler": "unhealthy", "triggerer": "healthy"}
    assert watch.overdue(ill, 100.0) == []
    assert watch.overdue(ill, 99.0 + SILENT_S) == []
    assert watch.overdue(ill, 100.0 + SILENT_S) == ["scheduler"]
    assert watch.overdue(well, 101.0 + SILENT_S) == []
    assert watch.overdue(ill, 102.0 + SILENT_S) == []


def test_while_the_api_does_not_answer_only_it_is_taken_for_silent() -> None:
    watch = SilentParts()
    assert watch.overdue({"scheduler": "unhealthy"}, 100.0) == []
    assert watch.overdue({}, 110.0) == []
    assert watch.overdue({}, 110.0 + SILENT_S) == ["api-server"]
    assert watch.overdue({"scheduler": "unhealthy"}, 111.0 + SILENT_S) == []
