"""The warehouse's own file written anew without freed bytes, and memories taken out of its copies.

Backups in `<home>/backups` and warehouses that a restore put aside are kept and lose the memories. Other copies below
the home (the rest of a rebuild that was killed, a memory of former days that was asked for) follow from the log, are
made again when needed, and are deleted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from biomem.errors import BiomemError, WarehouseError
from biomem.warehouse import backup, compact, removal
from biomem.warehouse.connection import open_warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

    from biomem.settings import Settings
    from biomem.warehouse.removal import Receipt

PUT_ASIDE = "warehouse.before-restore*.duckdb"


@dataclass
class Copies:
    """Copies of the warehouse that were written anew, that were deleted, and that could not be cleaned (and why)."""

    cleaned: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def rewrite(settings: Settings) -> None:
    """Replace the warehouse's file by one that holds only what is still in it, and mark the deletions complete.

    DuckDB keeps deleted rows in the file until their space is used again. Needs room for a second file.
    Raises WarehouseError when the copy cannot be made; the warehouse is then as it was.
    """

    def finish(con: duckdb.DuckDBPyConnection, copy: str) -> None:
        con.execute(f"update {copy}.raw.{removal.RECEIPTS} set is_complete = true where not is_complete")

    try:
        compact.rewrite(settings, purpose="forget", finish=finish)
    except WarehouseError as error:
        raise WarehouseError(
            f"the memories are out of the warehouse, but their bytes are still in its file: {error}"
        ) from error


def clean(settings: Settings, receipts: Sequence[Receipt], *, is_dry_run: bool = False) -> Copies:
    """Take the memories out of every copy of the warehouse below its home; a dry run only lists them."""
    copies = Copies()
    for path in derived(settings):
        copies.removed.append(str(path))
        if not is_dry_run:
            path.unlink()
    for path in kept(settings):
        try:
            if is_dry_run or _take_out(settings, path, receipts):
                copies.cleaned.append(str(path))
        except (BiomemError, OSError) as error:
            copies.left.append(f"{path} could not be cleaned ({error}): delete it")
    return copies


def kept(settings: Settings) -> list[Path]:
    """Backups, and warehouses that a restore put aside."""
    return [*sorted((settings.home / "backups").glob(f"*{backup.SUFFIX}")), *sorted(settings.home.glob(PUT_ASIDE))]


def derived(settings: Settings) -> Iterator[Path]:
    """Copies that follow from the log, and what a DuckDB that was killed had no room for in memory."""
    path = settings.warehouse_path
    own = {path, path.with_name(f"{path.name}.wal"), *kept(settings)}
    for copy in sorted(settings.home.rglob("*")):
        is_copy = copy.suffix == ".duckdb" or ".duckdb." in copy.name or copy.parent.name.endswith(".duckdb.tmp")
        if is_copy and copy not in own and copy.is_file() and settings.postgres_dir not in copy.parents:
            yield copy


def _take_out(settings: Settings, path: Path, receipts: Sequence[Receipt]) -> bool:
    def change(scratch: Settings) -> bool:
        with open_warehouse(scratch, purpose="forget") as con:
            if not removal.find(con, [receipt.memory_id for receipt in receipts]):
                return False
            removal.carry_over(con, receipts)
        rewrite(scratch)
        return True

    if path.name.endswith(backup.SUFFIX):
        return backup.rework(settings, path, change)
    with tempfile.TemporaryDirectory(prefix="forget-", dir=settings.home) as folder:
        scratch = replace(settings, home=Path(folder))
        shutil.copyfile(path, scratch.warehouse_path)
        if not change(scratch):
            return False
        os.replace(scratch.warehouse_path, path)
    return True
