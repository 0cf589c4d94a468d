"""Fires when a source says that it was written."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from biomem.errors import BiomemError
from biomem.source.listen import listen

from biomem_airflow.hooks.conninfo import async_conninfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0
# where the class stands that runs triggers; only a triggerer has it loaded
RUNNER = ("airflow.jobs.triggerer_job_runner", "TriggerRunner")


class SourceWrittenTrigger(BaseEventTrigger):
    """Listens to sources that tell of their commits (`biomem source wake-up`); one event for a whole burst.

    Never fails: a server that is away is asked again, after one second at first and half a minute at most. What is
    committed meanwhile waits for its window.

    :param conn_id: connection to the database with the sources; its secrets stay in Airflow's own store
    :param channels: what to listen to
    """

    def __init__(self, *, conn_id: str, channels: list[str]) -> None:
        super().__init__()
        self.conn_id = conn_id
        self.channels = channels
        self.hand_on: Callable[[], Awaitable[object]] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"conn_id": self.conn_id, "channels": self.channels}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        wait_s = FIRST_RETRY_S
        while True:
            try:
                dsn = await async_conninfo(self.conn_id)
                async with aclosing(listen(dsn, self.channels)) as signals:
                    async for is_written in signals:
                        wait_s = FIRST_RETRY_S
                        if is_written:
                            yield TriggerEvent({"channels": self.channels})
                            if self.hand_on:
                                await self.hand_on()
                        else:
                            self.log.info("listening to %s", ", ".join(self.channels))
            except (BiomemError, AirflowException) as error:
                self.log.warning("nothing wakes the pipeline before its time (%s); again in %.0f s", error, wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LAST_RETRY_S)


def hand_on_at_once(runner: Any) -> None:
    """Have a `runner` of triggers hand on what a source has told when it is told, not up to a second later.

    It looks once a second which triggers have something to say; that look goes on as before.
    """
    run = runner.run_trigger

    async def run_trigger(self: Any, trigger_id: int, trigger: Any, *args: Any, **options: Any) -> Any:
        if isinstance(trigger, SourceWrittenTrigger):
            # shielded: an answer that nobody awaits any more would be lost, with the triggers that it brings
            trigger.hand_on = lambda: asyncio.shield(self.sync_state_to_supervisor([]))
        return await run(self, trigger_id, trigger, *args, **options)

    runner.run_trigger = run_trigger


if RUNNER[0] in sys.modules:
    hand_on_at_once(getattr(sys.modules[RUNNER[0]], RUNNER[1]))
