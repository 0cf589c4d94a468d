"""Hearing that a source was written (see `wake_up`), as one signal for a whole burst."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from biomem.errors import SourceError
from biomem.source.dsn import explain_refusal, place, with_session_limits, without_secrets
from biomem.warehouse.connection import quote_identifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

GATHER_S = 0.2
"""How long the rest of a burst is waited for after its first commit."""


async def listen(dsn: str, channels: Sequence[str]) -> AsyncIterator[bool]:
    """Yield False when listening has begun, then True for each burst, for as long as the connection holds.

    A peer that falls silent is given up after a minute, by keepalives. Raises SourceError when the connection cannot
    be made or breaks.
    """
    import psycopg
    from psycopg.conninfo import make_conninfo

    conninfo = make_conninfo("", **with_session_limits(dsn))
    try:
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    except psycopg.Error as error:
        raise SourceError(explain_refusal(str(error), dsn)) from None
    try:
        async with connection:
            for channel in channels:
                await connection.execute(f"listen {quote_identifier(channel)}".encode())
            yield False
            while True:
                async for _ in connection.notifies(stop_after=1):
                    pass
                await asyncio.sleep(GATHER_S)
                async for _ in connection.notifies(timeout=0):
                    pass
                yield True
    except psycopg.Error as error:
        raise SourceError(f"PostgreSQL ({place(dsn)}) went away: {without_secrets(str(error), dsn)}") from None
