from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lives import Life


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path)
