"""Which ports the local Airflow may have."""

from __future__ import annotations

import socket
from contextlib import closing

from biomem.errors import ServiceError

from biomem_airflow.environment import LOCALHOST, Ports

DEFAULT_PORT = 8080


def is_free(port: int) -> bool:
    """Whether nobody listens on `port` of this machine."""
    with closing(socket.socket()) as probe:
        # as the server itself does: a port whose last user has just left counts as free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
        except OSError:
            return False
    return True


def require_free(port: int) -> None:
    """Raise ServiceError when `port` is taken."""
    if not is_free(port):
        raise ServiceError(
            f"port {port} is taken by another program: stop that one, or choose another port with --port"
        )


def choose(port: int | None, *, preferred: int = DEFAULT_PORT) -> Ports:
    """Take `port`, or when it is None `preferred` if that is free and any free one otherwise; and two for the logs.

    Raises ServiceError when the asked-for port is taken.
    """
    if port is not None:
        require_free(port)
    # all held at once, so that no two are the same
    with closing(socket.socket()) as first, closing(socket.socket()) as second, closing(socket.socket()) as third:
        free = []
        for probe in (first, second, third):
            probe.bind((LOCALHOST, 0))
            free.append(int(probe.getsockname()[1]))
    return Ports(port or (preferred if is_free(preferred) else free[0]), free[1], free[2])
