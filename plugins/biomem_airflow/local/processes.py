"""Starting child processes, and ending them with everything that they started themselves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

POLL_S = 0.05
CLOCK_SLACK_S = 1.0


@dataclass(frozen=True)
class Child:
    """A process that leads a session of its own. `pid` and `started` (seconds since the epoch) name it beyond doubt."""

    name: str
    pid: int
    started: float
    log: Path

    def is_running(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return self._is(process) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def session(self) -> list[psutil.Process]:
        """Return the processes of the child's session, itself among them; also those that outlived it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if not self._is(psutil.Process(self.pid)):
                return []  # the pid has been given to somebody else
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if (
                    alive
                    and os.getsid(process.pid) == self.pid
                    and process.create_time() >= self.started - CLOCK_SLACK_S
                ):
                    found.append(process)
        return found

    def tail(self, lines: int = 15) -> str:
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _is(self, process: psutil.Process) -> bool:
        return abs(process.create_time() - self.started) < CLOCK_SLACK_S


def start(name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
    """Start `command` in a session of its own: Ctrl-C is for the supervisor, which then ends its children in order."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    return Child(name, process.pid, psutil.Process(process.pid).create_time(), log)


def end(children: Sequence[Child], *, patience_s: float) -> None:
    """Ask the children to end, wait for at most `patience_s` seconds, then kill what is left of their sessions."""
    for child in children:
        if child.is_running():
            _signal(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and any(child.is_running() for child in children):
        _reap(children)
        time.sleep(POLL_S)
    left = [process for child in children for process in child.session()]
    for process in left:
        _signal(process.pid, signal.SIGKILL)
    psutil.wait_procs(left, timeout=5)
    _reap(children)


def stopped(children: Iterable[Child]) -> list[psutil.Process]:
    """Return the processes of the children's sessions that are stopped (SIGSTOP), in no order."""
    leaders = {child.pid for child in children}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) in leaders and process.status() == psutil.STATUS_STOPPED:
                found.append(process)
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap(children: Sequence[Child]) -> None:
    """Collect the exit of those that are ours; a child of an earlier supervisor is not."""
    for child in children:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child.pid, os.WNOHANG)
