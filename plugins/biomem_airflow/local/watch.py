"""What the supervisor remembers from one look at its processes to the next: what died, is stopped, or is silent."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from biomem_airflow.local import processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psutil

REVIVALS = 5  # of one service, one soon after the other, before `biomem up` gives up
FORGET_S = 600.0
STOPPED_S = 20.0
SILENT_S = 30.0
API = "api-server"
STARTING_S = 90.0


class Revivals:
    """How often each service was started again; one that has lived for FORGET_S since begins at zero."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._last_s: dict[str, float] = {}

    def are_in_vain(self, service: str, now_s: float) -> bool:
        """Count one more; return whether it is one too many. `now_s` are seconds of a monotonic clock."""
        if now_s - self._last_s.get(service, -math.inf) >= FORGET_S:
            self._counts[service] = 0
        self._last_s[service] = now_s
        self._counts[service] += 1
        return self._counts[service] > REVIVALS


class StoppedProcesses:
    """Processes that somebody stopped (SIGSTOP) and does not continue.

    Airflow does not notice such a task: the alarm of its execution_timeout is set within the stopped process, while
    the process beside it goes on sending heartbeats. One that a debugger holds does not count.
    """

    def __init__(self) -> None:
        self._since_s: dict[psutil.Process, float] = {}

    def overdue(self, children: Iterable[processes.Child], now_s: float) -> list[psutil.Process]:
        """Return those of the children's sessions that have been seen stopped for STOPPED_S, up to this look."""
        self._since_s = {one: self._since_s.get(one, now_s) for one in processes.stopped(children)}
        return [one for one, since_s in self._since_s.items() if now_s - since_s >= STOPPED_S]


class SilentParts:
    """Parts of Airflow whose process runs and that are not heard of.

    A scheduler whose log could not be written, on a full disk, waits for ever for its own workers to end.
    """

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}

    def overdue(self, health: Mapping[str, str], now_s: float) -> list[str]:
        """Return the parts that were unhealthy at every look for SILENT_S; no `health` at all is the API's part."""
        silent = [part for part, state in health.items() if state == "unhealthy"] if health else [API]
        self._since_s = {part: self._since_s.get(part, now_s) for part in silent}
        return [part for part, since_s in self._since_s.items() if now_s - since_s >= SILENT_S]
