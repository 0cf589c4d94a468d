"""The file lock that lets one process at a time write the warehouse.

DuckDB itself refuses a second writing process at once; this lock waits for its turn and can say who has it, among
Airflow's tasks (the pool `duckdb_writer` lets two in: one works, one makes ready) and outside Airflow.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from biomem import watchdog
from biomem.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_S = 120.0
# Who waits for a task that is about to be done asks often; who has waited for a while, less so.
POLL_S = 0.05
POLL_S_AT_FIRST = 0.01
AT_FIRST_S = 2.0


@dataclass
class _Held:
    descriptor: int
    is_shared: bool
    depth: int


# flock belongs to an open file: a process that holds the lock would wait for itself, so it counts instead. The pid is
# part of the key because a forked child inherits this table but must take the lock in its own name.
_held: dict[tuple[int, Path], _Held] = {}


@contextmanager
def warehouse_lock(
    home: Path, *, shared: bool = False, wait_s: float = WAIT_S, purpose: str = "biomem"
) -> Iterator[None]:
    """Hold `<home>/warehouse.lock`, exclusively or shared with other readers, for the length of the block.

    Re-entrant within a process. The kernel frees it when the process dies, kill -9 included.
    Raises WarehouseError, naming the holder, when it is still taken after `wait_s` seconds.
    """
    path = home / "warehouse.lock"
    key = (os.getpid(), path)
    held = _held.get(key)
    if held is None:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _acquire(descriptor, path, shared, wait_s)
            if not shared:
                _sign(descriptor, purpose)
        except BaseException:
            os.close(descriptor)
            raise
        held = _held[key] = _Held(descriptor, shared, 0)
    elif held.is_shared and not shared:
        raise WarehouseError(f"{path} is held for reading by this very process; close the reader before writing")
    held.depth += 1
    try:
        yield
    finally:
        held.depth -= 1
        if held.depth == 0:
            del _held[key]
            os.close(held.descriptor)


def _acquire(descriptor: int, path: Path, shared: bool, wait_s: float) -> None:
    mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, mode)
        except BlockingIOError:
            waited_s = time.monotonic() - began
            if waited_s >= wait_s:
                raise WarehouseError(
                    f"the warehouse is in use by {_holder(path)} and was not free within {wait_s:g} s ({path}); "
                    "wait for it to finish, or end that process, and try again"
                ) from None
            time.sleep(POLL_S_AT_FIRST if waited_s < AT_FIRST_S else POLL_S)
            watchdog.restart()
        else:
            return


def _sign(descriptor: int, purpose: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "purpose": purpose}).encode(), 0)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['pid']} ({holder['purpose']})"
    except (OSError, ValueError, KeyError):
        return "another process"
