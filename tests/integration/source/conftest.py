from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from biomem.cli import build
from biomem.errors import BiomemError
from biomem.source.mapping import load_sources
from biomem.source.pull import pull_all
from biomem.warehouse.connection import open_warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from biomem.settings import Settings
    from biomem.source.watermark import PullResult

# what several test files share lies beside them
sys.path.insert(0, str(Path(__file__).parent))


@dataclass(frozen=True)
class Outcome:
    """What a command ended with."""

    exit_code: int
    stdout: str
    stderr: str
    error: BiomemError | None


AS_OF = datetime(2026, 1, 1, tzinfo=timezone.utc)
MEMORIES = """
    create table public.memories (
        memory_id text primary key, agent_id text not null default 'default', session_id text, speaker text,
        content text, occurred_at timestamptz, updated_at timestamptz, importance real, arousal real, tags text[],
        metadata jsonb, deleted_at timestamptz)
"""


@pytest.fixture
def pg(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """An empty database, in autocommit."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def memories(pg: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database with an empty table public.memories."""
    pg.execute(MEMORIES)
    return pg


@pytest.fixture
def pull(settings: Settings, dsn: str) -> Callable[..., PullResult]:
    """Pull all sources once; the result of the first."""

    def pull_once(as_of: datetime | None = AS_OF, reconcile: bool = False) -> PullResult:
        with open_warehouse(settings) as con:
            return pull_all(
                con, load_sources(settings), source_dsn=dsn, target_dsn=dsn, as_of=as_of, reconcile=reconcile
            )[0]

    return pull_once


@pytest.fixture
def raw(settings: Settings) -> Callable[[str], list[tuple[Any, ...]]]:
    """Ask the warehouse."""

    def ask(sql: str) -> list[tuple[Any, ...]]:
        with open_warehouse(settings, read_only=True) as con:
            return con.execute(sql).fetchall()

    return ask


@pytest.fixture
def biomem(
    settings: Settings, dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run the command line in this process."""
    monkeypatch.setenv("BIOMEM_SOURCE_DSN", dsn)
    monkeypatch.delenv("BIOMEM_TARGET_DSN", raising=False)

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        error = None
        try:
            code = build().main(["--home", str(settings.home), *arguments], "biomem", standalone_mode=False)
        except BiomemError as caught:
            code, error = 1, caught
        printed = capsys.readouterr()
        return Outcome(code or 0, printed.out, printed.err, error)

    return run


@pytest.fixture
def map_source(settings: Settings) -> Callable[[str], None]:
    """Write source.yml."""

    def write(text: str) -> None:
        settings.home.mkdir(parents=True, exist_ok=True)
        settings.mapping_path.write_text(text, encoding="utf-8")

    return write
