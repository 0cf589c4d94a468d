"""`biomem source doctor`: what stands in the way of pulling a source, what it will cost, each with the fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from biomem.errors import SourceError
from biomem.source.doctor.findings import FIX, OK, WARN, Examination, Finding
from biomem.source.doctor.server import examine_server, time_zone
from biomem.source.doctor.table import examine_table
from biomem.source.dsn import connect, place, without_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biomem.source.mapping import SourceTable

__all__ = ["FIX", "OK", "WARN", "Examination", "Finding", "examine"]


def examine(dsn: str, sources: Sequence[SourceTable]) -> list[Examination]:
    """Look at the server and at every source, as the pipeline's own user, and change nothing.

    The first examination is the server's. Raises SourceError when the server cannot be reached or goes away.
    """
    try:
        with connect(dsn, autocommit=True) as con:
            con.execute("set default_transaction_read_only = on")
            where, zone = place(dsn), time_zone(dsn)
            server = Examination(None, where, tuple(examine_server(con)))
            tables = [Examination(one.name, one.label, tuple(examine_table(con, dsn, one, zone))) for one in sources]
            return [server, *tables]
    except psycopg.Error as error:
        reason = without_secrets(str(error), dsn)
        raise SourceError(f"PostgreSQL ({place(dsn)}) broke off the examination: {reason}") from None
