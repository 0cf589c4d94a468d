"""Ending in order, however one is told to end."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

from biomem.cli.state import err_console

if TYPE_CHECKING:
    from collections.abc import Iterator


INTERRUPTED = 130  # what a shell reports after Ctrl-C


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does: everything it started is stopped, then the command ends."""
    # SIGINT too: a command that a script started in the background has it ignored
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    except KeyboardInterrupt:
        err_console.print("biomem: stopped, and everything it started with it", style="yellow")
        raise SystemExit(INTERRUPTED) from None
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
