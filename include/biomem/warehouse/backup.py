"""Backups: one file that holds the log, the state and the mapping of the sources, and the way back from it.

A backup is a tar archive of the warehouse as of a checkpoint, of `source.yml` and `parameters.yml` when there are such,
and of an account of it.
It is made while everything else goes on: writers wait only while the file is copied. What was published is not in it,
for the next publication after a restore brings PostgreSQL to the restored state.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomem import __version__
from biomem.errors import InputError, WarehouseError
from biomem.warehouse import rebuild, removal, schema
from biomem.warehouse.connection import open_warehouse, without_progress_bar
from biomem.warehouse.lock import warehouse_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from typing import BinaryIO

    import duckdb

    from biomem.settings import Settings

FORMAT = 1
SUFFIX = ".biomem.tar"
ACCOUNT = "backup.json"
WAREHOUSE = "warehouse.duckdb"
MAPPING = "source.yml"
PARAMETERS = "parameters.yml"
CHUNK_BYTES = 1 << 20
COUNTED = ("memories", "access_log", "pulls")


@dataclass(frozen=True)
class Account:
    """What a backup says of itself: `sha256` and `bytes` are of the warehouse in it, `rows` by table of schema raw."""

    format: int
    biomem: str
    made_at: str
    schema_version: int
    sha256: str
    bytes: int
    rows: dict[str, int]


@dataclass(frozen=True)
class Restored:
    """What a restore did: `aside` is the warehouse that stood there before, None when there was none."""

    account: Account
    aside: Path | None
    mapping: str
    parameters: str


def backup(settings: Settings, path: Path | None, made_at: datetime) -> tuple[Path, Account]:
    """Write a backup to `path`, or to `<home>/backups/<made_at>.biomem.tar`; it is there whole or not at all.

    `made_at` names the file and stands in its account; nothing is computed from it.
    Raises WarehouseError when there is no warehouse or it is not free, InputError when the file exists or cannot be
    written.
    """
    if not settings.warehouse_path.exists():
        raise WarehouseError(f"there is no warehouse at {settings.warehouse_path} yet: nothing to back up")
    path = path or settings.home / "backups" / f"{made_at:%Y-%m-%dT%H%M%SZ}{SUFFIX}"
    if path.exists():
        raise InputError(f"{path} exists already; name another file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # beside the archive: the copy may be large, and /tmp small
        with tempfile.TemporaryDirectory(prefix="backup-", dir=path.parent) as scratch:
            copy = Path(scratch, WAREHOUSE)
            rows = _copy(settings, copy)
            account = Account(
                FORMAT, __version__, made_at.isoformat(), _version_of(copy), _sha256(copy), copy.stat().st_size, rows
            )
            archive = Path(scratch, path.name)
            _pack(archive, account, copy, settings.mapping_path, settings.parameters_path)
            os.link(archive, path)
    except FileExistsError as error:
        raise InputError(f"{path} was made by somebody else meanwhile; name another file") from error
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; nothing was left behind") from error
    return path, account


def check(settings: Settings, path: Path, *, report: rebuild.Report) -> list[rebuild.ModelComparison]:
    """Restore a backup beside the warehouse and compare every model in it with one built from its log alone.

    Raises InputError when the file is no whole backup, WarehouseError when the models cannot be built.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="restore-", dir=settings.home) as folder:
        scratch = replace(settings, home=Path(folder), own_parameters=Path(folder, PARAMETERS))
        _unpack(path, scratch.home)
        return rebuild.verify(scratch, report=report)


def restore(settings: Settings, path: Path) -> Restored:
    """Put the warehouse of a backup in the place of the present one, which is kept beside it.

    Mapping and parameters come along only where there are none. Either all of it happens or nothing.
    Raises InputError when the file is no whole backup or of a newer biomem, WarehouseError when the warehouse is not
    free.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="restore-", dir=settings.home) as folder:
        account = _unpack(path, Path(folder))
        aside = _put_in_place(settings, Path(folder, WAREHOUSE))
        return Restored(
            account,
            aside,
            _restore_file(Path(folder, MAPPING), settings.mapping_path),
            _restore_file(Path(folder, PARAMETERS), settings.parameters_path),
        )


def rework(settings: Settings, path: Path, change: Callable[[Settings], bool]) -> bool:
    """Let `change` work on the warehouse in a backup; the backup is written anew, whole or not at all, if it says so.

    Raises InputError when the file is no whole backup.
    """
    with tempfile.TemporaryDirectory(prefix="restore-", dir=settings.home) as folder:
        scratch = replace(settings, home=Path(folder))
        account = _unpack(path, scratch.home)
        if not change(scratch):
            return False
        changed = scratch.warehouse_path
        with open_warehouse(scratch, purpose="biomem backup") as con:
            rows = _count(con)
        account = replace(
            account,
            schema_version=_version_of(changed),
            sha256=_sha256(changed),
            bytes=changed.stat().st_size,
            rows=rows,
        )
        archive = Path(folder, path.name)
        _pack(archive, account, changed, Path(folder, MAPPING), Path(folder, PARAMETERS))
        os.replace(archive, path)
    return True


def _copy(settings: Settings, copy: Path) -> dict[str, int]:
    """Copy the warehouse as of a checkpoint; who else wants to write waits meanwhile."""
    with open_warehouse(settings, purpose="biomem backup") as con:
        con.execute("checkpoint")
        shutil.copyfile(settings.warehouse_path, copy)
        return _count(con)


def _count(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    counts: Any = con.execute(
        "select " + ", ".join(f"(select count(*) from raw.{table})" for table in COUNTED)
    ).fetchone()
    return dict(zip(COUNTED, counts, strict=True))


def _pack(archive: Path, account: Account, warehouse: Path, mapping: Path, parameters: Path) -> None:
    described = warehouse.with_name(ACCOUNT)
    described.write_text(json.dumps(asdict(account), indent=2) + "\n", encoding="utf-8")
    with tarfile.open(archive, "w") as tar:
        tar.add(described, ACCOUNT)
        tar.add(warehouse, WAREHOUSE)
        for path, name in ((mapping, MAPPING), (parameters, PARAMETERS)):
            if path.exists():
                tar.add(path, name)
    archive.chmod(0o600)
    with archive.open("rb") as written:
        os.fsync(written.fileno())


def _unpack(path: Path, folder: Path) -> Account:
    """Take a backup apart into `folder` after checking it."""
    try:
        with tarfile.open(path, "r:") as tar:
            for name in (ACCOUNT, WAREHOUSE, MAPPING, PARAMETERS):
                if name in (MAPPING, PARAMETERS) and name not in tar.getnames():
                    continue
                # by name, and only what a backup holds: an archive from elsewhere may hold anything
                member = tar.extractfile(name)
                if member is None:
                    raise InputError(f"{path} is no backup of biomem: its {name} is no file")
                with member, Path(folder, name).open("wb") as out:
                    shutil.copyfileobj(member, out, CHUNK_BYTES)
        account = Account(**json.loads(Path(folder, ACCOUNT).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except (tarfile.TarError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} is no whole backup of biomem: {error}") from error
    if account.format > FORMAT or account.schema_version > len(schema.read_migrations(schema.RAW_MIGRATIONS)):
        raise InputError(f"{path} was made by biomem {account.biomem}, newer than this {__version__}: install that one")
    if _sha256(Path(folder, WAREHOUSE)) != account.sha256:
        raise InputError(f"{path} is damaged: its warehouse is not the one that its account describes")
    return account


def _put_in_place(settings: Settings, restored: Path) -> Path | None:
    present = settings.warehouse_path
    with warehouse_lock(settings.home, purpose="biomem restore"):
        aside = None
        if present.exists():
            # opening it takes what its log of changes still holds into the file that is kept
            with open_warehouse(settings, purpose="biomem restore") as con:
                removed = removal.receipts(con)
                con.execute("checkpoint")
            # what was removed for good since the backup was made does not come back with it
            with open_warehouse(replace(settings, home=restored.parent), purpose="biomem restore") as con:
                removal.carry_over(con, removed)
            aside = _free_name(present.with_name("warehouse.before-restore.duckdb"))
            os.link(present, aside)
        os.replace(restored, present)
    return aside


def _restore_file(saved: Path, present: Path) -> str:
    if not saved.exists():
        return "none in the backup"
    if not present.exists():
        shutil.move(saved, present)
        return "restored"
    return "as before" if saved.read_bytes() == present.read_bytes() else "left as it is, though the backup's differs"


def _free_name(path: Path) -> Path:
    return next(candidate for candidate in _numbered(path) if not candidate.exists())


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_stem(f"{path.stem}-{number}")
        number += 1


def _version_of(copy: Path) -> int:
    import duckdb

    with without_progress_bar(duckdb.connect(str(copy), read_only=True)) as con:
        return schema.schema_version(con)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in _chunks(file):
            digest.update(chunk)
    return digest.hexdigest()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
