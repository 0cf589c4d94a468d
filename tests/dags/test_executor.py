"""The executor that wakes the scheduler when a task has ended."""

from __future__ import annotations

import os
import selectors
import time
from importlib import import_module
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import psutil
import pytest
from biomem_airflow import executor
from biomem_airflow.executor import Bell, PromptExecutor

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[PromptExecutor]:
    module, name = executor.WATCHER
    monkeypatch.setattr(import_module(module), name, getattr(import_module(module), name))
    prompt = PromptExecutor(parallelism=1)
    prompt.start()
    yield prompt
    prompt.end()


def _in_a_fork(ring: Bell, times: int) -> None:
    pid = os.fork()
    if pid == 0:
        for _ in range(times):
            ring.ring()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_the_scheduler_goes_on_at_once_when_a_task_has_ended_and_waits_otherwise(started: PromptExecutor) -> None:
    before = time.monotonic()
    started.sync()
    assert time.monotonic() - before >= executor.LOOK_EVERY_S
    _in_a_fork(started._bell, 3)
    before = time.monotonic()
    started.sync()
    assert time.monotonic() - before < executor.LOOK_EVERY_S / 2
    # three ends are one look, and the next one comes soon
    before = time.monotonic()
    started.sync()
    assert executor.LOOK_EVERY_S_SOON_AFTER <= time.monotonic() - before < executor.LOOK_EVERY_S
    time.sleep(executor.SOON_S)
    before = time.monotonic()
    started.sync()
    assert time.monotonic() - before >= executor.LOOK_EVERY_S


def test_a_bell_that_nobody_listens_to_keeps_nobody_waiting() -> None:
    bell = Bell()
    _in_a_fork(bell, 100_000)
    while bell.wait(0):
        pass
    bell.ring()
    assert bell.wait(0)
    bell.close()


def test_a_task_that_has_closed_its_connections_is_not_waited_for_longer_than_it_takes(
    started: PromptExecutor,
) -> None:
    from airflow.sdk.execution_time import supervisor

    pid = os.fork()
    if pid == 0:
        time.sleep(0.2)
        os._exit(0)
    watcher = supervisor.ActivitySubprocess.__new__(supervisor.ActivitySubprocess)
    watcher._exit_code, watcher._open_sockets = None, WeakKeyDictionary()
    watcher._process = supervisor.PsutilTracker(psutil.Process(pid))
    watcher.selector = selectors.DefaultSelector()
    before = time.monotonic()
    while watcher._service_subprocess(max_wait_time=5) is None:
        pass
    assert 0.1 <= time.monotonic() - before < 2


def test_who_watches_a_task_rings_when_its_end_is_on_record_and_sends_no_second_start(started: PromptExecutor) -> None:
    from airflow.sdk.execution_time.supervisor import ActivitySubprocess

    watcher = ActivitySubprocess.__mro__[1]
    assert ActivitySubprocess.__name__ == "RingingWatcher"
    own = {"_on_child_started", "_send_terminal_state_msg", "_last_heartbeat_attempt", "_last_successful_heartbeat"}
    assert own <= set(vars(watcher)), "Airflow has moved what the executor leans on"
    assert {"_service_subprocess", "_open_sockets"} <= set(vars(watcher.__mro__[1]))
