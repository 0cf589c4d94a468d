"""Ends this process when it hangs, with the stack of every thread as its last words.

The alarm of an Airflow task's execution_timeout is heard by Python only: not while the main thread waits for another
one, nor within compiled code that does not return. This one is a thread of the interpreter's C code.
"""

from __future__ import annotations

import faulthandler
from dataclasses import dataclass

STDERR = 2


@dataclass(frozen=True)
class _Limits:
    patience_s: float
    at_most_s: float


_limits: _Limits | None = None


def start(patience_s: float, at_most_s: float) -> None:
    """End the process by exit code 1 after `patience_s` seconds (> 0), or after `at_most_s` once `relax` was called."""
    global _limits
    _limits = _Limits(patience_s, at_most_s)
    _wind(patience_s)


def restart() -> None:
    """Begin to count again: the process waits for its turn and is well. Without `start` nothing."""
    if _limits is not None:
        _wind(_limits.patience_s)


def relax() -> None:
    """Count to `at_most_s` from now on: what is to be done is known to be much. Without `start` nothing."""
    if _limits is not None:
        start(_limits.at_most_s, _limits.at_most_s)


def stop() -> None:
    """Let the process go on for as long as it likes."""
    global _limits
    _limits = None
    faulthandler.cancel_dump_traceback_later()


def _wind(seconds: float) -> None:
    faulthandler.dump_traceback_later(seconds, file=STDERR, exit=True)
