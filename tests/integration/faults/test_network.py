"""A connection that breaks, or loses bytes, in the midst of a pull."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading

import pytest
from biomem.errors import SourceError
from biomem.source.dsn import connect

ROWS = 3_000


class Proxy:
    """Passes bytes on between a client and the server, until a fault is asked for.

    After `budget` bytes from the server: `cut` closes both sides at once, `lose` drops the next thousand bytes and goes
    on as if nothing had happened.
    """

    def __init__(self, port: int) -> None:
        self.server_port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.budget: int | None = None
        self.fault = "cut"
        self.faults = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def after(self, budget: int | None, fault: str = "cut") -> None:
        self.budget, self.fault = budget, fault

    def close(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.server_port)) as server, contextlib.suppress(OSError):
            while True:
                for end in select.select([client, server], [], [])[0]:
                    data = end.recv(4096)
                    if not data:
                        return
                    if end is client:
                        server.sendall(data)
                    elif not self._answer(client, data):
                        return

    def _answer(self, client: socket.socket, data: bytes) -> bool:
        """Hand on what the server says; False when the connection is to be cut."""
        if self.budget is not None:
            self.budget -= len(data)
            if self.budget < 0:
                self.budget, self.faults = None, self.faults + 1
                if self.fault == "cut":
                    return False
                data = data[1000:]
        client.sendall(data)
        return True


@pytest.fixture
def proxy(cluster):
    with cluster.connect(autocommit=True) as pg:
        pg.execute(
            "insert into memories (memory_id, content, occurred_at) "
            f"select 'm' || n, repeat(md5(n::text), 10), '2025-01-01' from generate_series(1, {ROWS}) as n"
        )
    relay = Proxy(cluster.port)
    yield relay
    relay.close()


@pytest.mark.parametrize(
    ("budget", "fault"),
    [
        *[(budget, "cut") for budget in (100, 20_000, 700_000)],
        *[(budget, "lose") for budget in (100, 20_000)],
        # a minute: the connection is given up only when nobody has answered for so long
        pytest.param(700_000, "lose", marks=pytest.mark.slow),
    ],
)
def test_a_pull_whose_connection_fails_changes_nothing_and_the_next_does_all(proxy, pull, cluster, fault, budget):
    pull.map("xmin_window")
    proxy.after(budget, fault)
    with pytest.raises(SourceError):
        pull(cluster.dsn(proxy.port))
    assert proxy.faults == 1
    assert pull.ask("select count(*) from raw.memories") == [(0,)]
    pull(cluster.dsn(proxy.port))
    assert pull.differences(cluster.dsn()) == []


def test_a_backfill_whose_connection_is_cut_again_and_again_gets_there(proxy, pull, cluster, monkeypatch):
    monkeypatch.setattr("biomem.source.extent.BIG_BYTES", 50_000)
    monkeypatch.setattr("biomem.source.extent.PORTION_BYTES", 100_000)
    pull.map("xmin_window")
    cuts = 0
    while True:
        proxy.after(400_000)
        try:
            pull(cluster.dsn(proxy.port))
        except SourceError:
            cuts += 1
            assert cuts < 20
        else:
            break
    assert cuts > 1
    assert pull.differences(cluster.dsn()) == []


def test_a_peer_that_falls_silent_is_given_up_after_a_minute_or_as_the_user_says(cluster):
    def patience(dsn):
        with connect(dsn) as pg, socket.socket(fileno=os.dup(pg.fileno())) as own:
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            return [own.getsockopt(socket.IPPROTO_TCP, option) for option in options]

    assert patience(cluster.dsn()) == [30, 10, 3, 60_000]
    assert patience(f"{cluster.dsn()} keepalives_idle=5") == [5, 10, 3, 60_000]
