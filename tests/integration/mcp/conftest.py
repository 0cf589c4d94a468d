"""Two agents, a source table, a published memory of each, and servers that the SDK's own client talks to."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import psycopg
import pytest
from biomem.warehouse.target_schema import ensure_target_schema
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

TOKENS = {"ada": "a" * 8 + "-token-of-ada-0123456789", "milo": "m" * 8 + "-token-of-milo-0123456789"}
PUBLISHED = """
    insert into memory.memories (memory_id, agent_id, content, occurred_at, state, repeat_of, stability_days,
        difficulty, last_accessed_at, access_count, is_long_term, arousal, run_id, params_hash, as_of)
    select memory_id, agent_id, content, at, state, repeat_of, 2.3, 5, at, 1, false, .1, 'r', 'p', at
    from (values
        ('a1', 'ada', 'The kettle is blue', timestamptz '2026-01-01+00', 'live', null),
        ('a2', 'ada', 'The kettle is blue!', '2026-01-01 12:00+00', 'repeat', 'a1'),
        ('m1', 'milo', 'The safe opens with 4711', '2026-01-01+00', 'live', null)
    ) as memories (memory_id, agent_id, content, at, state, repeat_of);
    insert into memory.working_memory
    values ('ada', 1, 'a1', -1.5, '2026-01-01+00', 'r', 'p', '2026-01-02+00'),
        ('milo', 1, 'm1', -1.5, '2026-01-01+00', 'r', 'p', '2026-01-02+00');
    insert into memory.decisions
    values ('d1', 'a1', null, 'ada', 'nightly_decay', 'demote', '2026-01-09 02:00+00',
        '{"retention": 0.59, "stability_days": 2.3, "last_accessed_at": "2026-01-01 00:00:00+00"}', 0.6,
        'forgotten', null, true, 'r', 'p', '2026-01-09+00');
    insert into memory.runs (publish_id, run_id, stage, as_of, params_hash, changed_tables, rows_written, rows_deleted)
    values ('p1', 'r', 'short_term_memory', '2026-01-02+00', 'p', '{memories}', 3, 0);
"""


@dataclass
class World:
    """Where the server finds its databases, and how to start it."""

    dsn: str
    home: Path
    pg: psycopg.Connection[Any]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "BIOMEM_HOME": str(self.home),
            "BIOMEM_SOURCE_DSN": self.dsn,
            "BIOMEM_SOURCE_TABLE": "public.memories",
            "BIOMEM_EMBEDDINGS": "none",
        }

    def stdio(self, agent: str, **environment: str) -> Client:
        command = ["-m", "biomem_airflow", "mcp", "--agent", agent]
        parameters = StdioServerParameters(
            command=sys.executable, args=command, env={**self.environment, **environment}
        )
        return Client(parameters, read_timeout_seconds=60)

    @contextmanager
    def http(self) -> Iterator[str]:
        """A server over HTTP for both agents; yields its URL."""
        tokens = self.home / "tokens.yml"
        tokens.parent.mkdir(parents=True, exist_ok=True)
        tokens.write_text("".join(f"{agent}: {token}\n" for agent, token in TOKENS.items()))
        tokens.chmod(0o600)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = self.home / "mcp.log"
        command = [sys.executable, "-m", "biomem_airflow", "mcp", "--http", "--port", str(port), "--token-file", tokens]
        with log.open("wb") as output:
            server = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output)
        try:
            _wait_for(port, server, log)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.terminate()
            server.wait(20)


@asynccontextmanager
async def over_http(url: str, token: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), read_timeout_seconds=60) as client,
    ):
        yield client


def run(main: Any) -> Any:
    """Run a test's coroutine."""
    return asyncio.run(main)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the server did not listen within a minute: {log.read_text()}")


@pytest.fixture
def world(dsn: str, tmp_path: Path) -> Iterator[World]:
    ensure_target_schema(dsn)
    with psycopg.connect(dsn, autocommit=True) as pg:
        pg.execute(PUBLISHED)
        pg.execute(
            "create table public.memories (memory_id text primary key default gen_random_uuid()::text, agent_id text, "
            "content text, occurred_at timestamptz not null, session_id text, speaker text, tags text[])"
        )
        pg.execute(
            "insert into memories (memory_id, agent_id, content, occurred_at) "
            "select memory_id, agent_id, content, occurred_at from memory.memories"
        )
        yield World(dsn, tmp_path / "home", pg)
