"""How hard a property is tried: a few examples, the same in every run; and many, new in every run, under `slow`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# the first test of a session waits for the recording too, perhaps on a busy machine
PATIENCE_S = 1200

# an example builds models: slow data and large ones are no sign of anything
_COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def tried(quick: int, thorough: int) -> pytest.MarkDecorator:
    """Give the test `effort`, to be put on its property: `quick` examples, and, marked slow, `thorough` ones."""
    return pytest.mark.parametrize(
        "effort",
        [
            pytest.param(
                settings(max_examples=quick, derandomize=True, database=None, **_COMMON),
                id="quick",
                marks=pytest.mark.timeout(PATIENCE_S),
            ),
            pytest.param(
                settings(max_examples=thorough, print_blob=True, **_COMMON),
                id="thorough",
                marks=[pytest.mark.slow, pytest.mark.timeout(7200)],
            ),
        ],
    )
