"""Airflow's own LocalExecutor, whose scheduler looks again the moment a task has ended instead of up to .1 s later.

The scheduler sleeps between two looks. With `SCHEDULER_IDLE_SLEEP_TIME=0` it waits here instead (`sync`), and what it
waits for is the byte that the process which watches a task writes into a pipe once the task's end is on record.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

from airflow.executors.local_executor import LocalExecutor

# How long the scheduler waits for a task's end before it looks for whatever else there may be: a window that is due, a
# source that wakes, a task that has failed. A look costs .03 s of CPU; with this it idles below a tenth of a core. Soon
# after an end there may be what only another look goes on with: tasks that are skipped one after the other.
LOOK_EVERY_S = 0.4
LOOK_EVERY_S_SOON_AFTER = 0.08
SOON_S = 1.0
# how often a process that has closed all its connections, and is about to end, is asked whether it has
ENDING_S = 0.02
# where Airflow looks for the class that watches a task's process
WATCHER = ("airflow.sdk.execution_time.supervisor", "ActivitySubprocess")


class Bell:
    """A pipe between processes that were forked from one: any of them rings, one waits."""

    def __init__(self) -> None:
        self._heard, self._rope = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._rope, False)

    def ring(self) -> None:
        # full: nobody has listened for a while, and will hear it all the same
        with suppress(BlockingIOError):
            os.write(self._rope, b"!")

    def wait(self, seconds: float) -> bool:
        """Wait until it has rung since the last wait, at most for `seconds`; return whether it has."""
        if not select.select([self._heard], [], [], seconds)[0]:
            return False
        os.read(self._heard, select.PIPE_BUF)
        return True

    def close(self) -> None:
        os.close(self._heard)
        os.close(self._rope)


class PromptExecutor(LocalExecutor):
    """Runs tasks as LocalExecutor does, and wakes the scheduler when one has ended."""

    def start(self) -> None:
        # before the workers are forked, which inherit it
        self._bell = Bell()
        self._last_end = -SOON_S
        ring_at_the_end(self._bell)
        super().start()

    def sync(self) -> None:
        super().sync()
        is_soon = time.monotonic() - self._last_end < SOON_S
        if self._bell.wait(LOOK_EVERY_S_SOON_AFTER if is_soon else LOOK_EVERY_S):
            self._last_end = time.monotonic()

    def end(self) -> None:
        super().end()
        self._bell.close()


def ring_at_the_end(bell: Bell) -> None:
    """Have whoever watches a task in this process, or in one forked from it, ring once the task's end is on record.

    Two waits go besides. The heartbeat as soon as the task has started: that it has, the server was told the moment
    before, and the task's first request had to wait for the answer. And up to 5 s for a process that has closed its
    connections and not quite ended: nothing would wake who waits for it, with the state of a skipped or failed task
    untold.
    """
    module, name = import_module(WATCHER[0]), WATCHER[1]
    watcher = getattr(module, name)

    class RingingWatcher(watcher):  # type: ignore[misc, valid-type]
        def _on_child_started(self, **told: Any) -> None:
            super()._on_child_started(**told)
            self._last_heartbeat_attempt = self._last_successful_heartbeat

        def _service_subprocess(self, max_wait_time: float, **options: Any) -> int | None:
            wait_s = max_wait_time if self._open_sockets else min(max_wait_time, ENDING_S)
            code: int | None = super()._service_subprocess(wait_s, **options)
            return code

        def _send_terminal_state_msg(self, msg: Any) -> None:
            super()._send_terminal_state_msg(msg)
            bell.ring()

    setattr(module, name, RingingWatcher)
