"""Every published table against the shipped model, each at its bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biomem.oracles import activation, forgetting, learning, serial_position
from biomem.oracles.bench import Bench

if TYPE_CHECKING:
    from biomem.oracles.result import Oracle
    from biomem.settings import Settings


def run_oracles(settings: Settings) -> list[Oracle]:
    """Run them all; nothing is written, no server and no warehouse is needed."""
    with Bench(settings) as bench:
        return [
            oracle
            for chapter in (forgetting, serial_position, activation, learning)
            for oracle in chapter.oracles(bench)
        ]
