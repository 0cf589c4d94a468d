"""An Airflow connection as a libpq connection string."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from biomem.errors import ConfigurationError
from biomem.source.dsn import conninfo_from_parts

if TYPE_CHECKING:
    from airflow.sdk import Connection


def conninfo(conn_id: str) -> str:
    """The libpq connection string of the Airflow connection `conn_id`; never log it, it may hold a password.

    A unix socket stands in the extra as `{"host": "/run/postgresql"}`, beside any other libpq keyword (`sslmode`).
    Raises ConfigurationError when the connection is of another type.
    """
    return _of(conn_id, BaseHook.get_connection(conn_id))


async def async_conninfo(conn_id: str) -> str:
    """The same for Airflow's triggerer, which must not be kept waiting."""
    return _of(conn_id, await BaseHook.aget_connection(conn_id))


def _of(conn_id: str, connection: Connection) -> str:
    if connection.conn_type not in ("postgres", "postgresql"):
        raise ConfigurationError(f"connection {conn_id!r} is of type {connection.conn_type!r}; it must be postgres")
    return conninfo_from_parts(
        host=connection.host,
        port=connection.port,
        user=connection.login,
        password=connection.password,
        dbname=connection.schema,
        extra=connection.extra_dejson,
    )
