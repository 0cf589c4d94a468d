"""The warehouse's file, brought to what its tables need."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from biomem.errors import WarehouseError
from biomem.warehouse.connection import open_warehouse, quote_literal
from biomem.warehouse.lock import warehouse_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import duckdb

    from biomem.settings import Settings

MB = 1024**2
# DuckDB uses free space in the file again; what is free beyond this will hardly be needed for it
FREE_SHARE = 1 / 3
FREE_BYTES = 64 * MB
# beside the copy: what others on that disk write meanwhile
SPARE_BYTES = 256 * MB


@dataclass(frozen=True)
class Compaction:
    """Sizes of the file in bytes before and after, what of it is free now, and whether it was written anew."""

    bytes_before: int
    bytes_after: int
    bytes_free: int
    is_anew: bool

    def describe(self) -> str:
        """One line for a log."""
        how = "written anew" if self.is_anew else "checkpointed"
        before, after, free = (size / MB for size in (self.bytes_before, self.bytes_after, self.bytes_free))
        return f"{how}: {before:,.1f} MB before, {after:,.1f} MB now, {free:,.1f} MB of it free"


def compact(settings: Settings, *, purpose: str) -> Compaction:
    """Write the log of changes into the file; where much of it is free then, write the file anew.

    Left as it is where the disk has no room for a second copy, as DuckDB uses the free space again. Whoever wants the
    warehouse waits meanwhile. Raises WarehouseError when it cannot be written; it is then as it was.
    """
    path = settings.warehouse_path
    before = path.stat().st_size if path.exists() else 0
    with warehouse_lock(settings.home, purpose=purpose):
        free = _checkpoint(settings, purpose)
        size = path.stat().st_size
        has_room = shutil.disk_usage(path.parent).free > size - free + SPARE_BYTES
        is_anew = has_room and free >= max(FREE_BYTES, FREE_SHARE * size)
        if is_anew:
            rewrite(settings, purpose=purpose)
            free = _checkpoint(settings, purpose)
    return Compaction(before, path.stat().st_size, free, is_anew)


def rewrite(
    settings: Settings, *, purpose: str, finish: Callable[[duckdb.DuckDBPyConnection, str], None] | None = None
) -> None:
    """Replace the file by one that holds only what is in it; a reader sees the one or the other, whole.

    `finish` may change the copy before it takes the file's place: it is given a connection and the copy's name there.
    Raises WarehouseError when the copy cannot be made; the warehouse is then as it was.
    """
    import duckdb

    path = settings.warehouse_path
    fresh, wal = path.with_name(f"{path.name}.fresh"), path.with_name(f"{path.name}.wal")
    try:
        with warehouse_lock(settings.home, purpose=purpose), _removed(fresh):
            with open_warehouse(settings, purpose=purpose) as con:
                con.execute("checkpoint")
                (name,) = con.execute("select current_database()").fetchall()[0]
                con.execute(f"attach {quote_literal(str(fresh))} as fresh")
                con.execute(f'copy from database "{name}" to fresh')
                if finish is not None:
                    finish(con, "fresh")
                con.execute("checkpoint fresh")
                con.execute("detach fresh")
            if wal.exists():
                raise WarehouseError(f"{wal} is in use by another process: end it and try again")
            _sync(fresh)
            os.replace(fresh, path)
            _sync(path.parent)
    except (duckdb.Error, OSError) as error:
        raise WarehouseError(
            f"{path} cannot be written anew: {error}. Make room for a second copy beside it and try again"
        ) from error


@contextmanager
def _removed(fresh: Path) -> Iterator[None]:
    """What a former attempt left is not there within the block, and nothing that this one leaves after it."""
    leftovers = (fresh, fresh.with_name(f"{fresh.name}.wal"))
    try:
        for path in leftovers:
            path.unlink(missing_ok=True)
        yield
    finally:
        for path in leftovers:
            path.unlink(missing_ok=True)


def _checkpoint(settings: Settings, purpose: str) -> int:
    """Bytes within the file that are free after it."""
    with open_warehouse(settings, purpose=purpose) as con:
        con.execute("vacuum")
        con.execute("force checkpoint")
        row = con.execute("select block_size * free_blocks from pragma_database_size()").fetchone()
    assert row is not None
    return int(row[0])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
