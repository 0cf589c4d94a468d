"""A task that hangs gives its slot back: its process ends by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms
from biomem import watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

# A task of a stage takes a second or a few. What takes longer once gets all its time at the next try, so that no work
# is for ever too much.
FIRST_TRY = timedelta(seconds=25)
# Airflow's own alarm comes first, where it is heard
AFTER_TIMEOUT = timedelta(seconds=15)


def end_when_hanging(timeout: timedelta, first_try: timedelta | None) -> Callable[[Context], None]:
    """Return what ends a task's process when its first try takes `first_try`, or any try more than `timeout`.

    Time in which it waits for the warehouse does not count. Known to be much, and given all its time at once: a stage
    that `takes_long`, and the first pull of a source. In a run without a server the process is somebody's command; it
    stays.
    """
    at_most_s = (timeout + AFTER_TIMEOUT).total_seconds()
    first_try_s = first_try.total_seconds() if first_try else at_most_s

    def watch(context: Context) -> None:
        if not isinstance(task_runner.SUPERVISOR_COMMS, InProcessSupervisorComms):
            watchdog.start(first_try_s if context["ti"].try_number == 1 else at_most_s, at_most_s)

    return watch
