"""One recording of what dbt sends a session, and a world a test module."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from recorded_models import Recording, World, record

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(tmp_path_factory.mktemp("recording"))


@pytest.fixture(scope="module")
def world(recording: Recording) -> Iterator[World]:
    world = World(recording)
    yield world
    world.con.close()


@pytest.fixture(scope="module")
def other_world(recording: Recording) -> Iterator[World]:
    """Another one, to compare with."""
    world = World(recording)
    yield world
    world.con.close()
