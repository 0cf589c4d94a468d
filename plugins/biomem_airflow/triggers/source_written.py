"""Fires when a source says that it was written."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from biomem.errors import BiomemError
from biomem.source.listen import listen

from biomem_airflow.hooks.conninfo import async_conninfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0


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
                        else:
                            self.log.info("listening to %s", ", ".join(self.channels))
            except (BiomemError, AirflowException) as error:
                self.log.warning("nothing wakes the pipeline before its time (%s); again in %.0f s", error, wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LAST_RETRY_S)
