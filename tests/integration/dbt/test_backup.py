"""A backup holds all of the state, and what is restored from it is what was backed up."""

from __future__ import annotations

import io
import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest
from biomem.errors import InputError, WarehouseError
from biomem.overrides import read_overrides
from biomem.warehouse.backup import backup, check, restore
from lives import Life, day

if TYPE_CHECKING:
    from pathlib import Path

STATE = "select memory_id, stability_days, access_count from memory_traces order by memory_id"


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Life:
    life = Life(tmp_path_factory.mktemp("once"))
    life.pull([{"memory_id": f"m{n}", "occurred_at": day(n / 100)} for n in range(8)], [("m1", day(0.5))])
    life.live_to(day(3))
    return life


@pytest.fixture
def lived(once: Life, life: Life) -> Life:
    """Three days of a life, in a home of the test's own."""
    shutil.copytree(once.settings.home, life.settings.home, dirs_exist_ok=True)
    life.batch, life.runs = once.batch, once.runs
    return life


def test_a_restored_warehouse_is_as_it_was_and_what_came_after_is_kept_beside(lived: Life, tmp_path: Path) -> None:
    before = lived.rows(STATE)
    lived.settings.mapping_path.write_text("sources: {}\n")
    path, account = backup(lived.settings, None, day(3))
    assert path.parent == lived.settings.home / "backups"
    assert account.rows["memories"] == 8

    lived.pull([{"memory_id": "later", "occurred_at": day(3.5)}])
    lived.run("short_term_memory", day(4))
    assert lived.rows(STATE) != before
    restored = restore(lived.settings, path)

    assert lived.rows(STATE) == before
    assert restored.mapping == "as before"
    assert restored.parameters == "none in the backup"
    assert restored.aside is not None
    assert restored.aside.exists()
    # and life goes on from there
    lived.pull([{"memory_id": "other", "occurred_at": day(3.6)}])
    lived.run("short_term_memory", day(4))
    assert "other" in {row[0] for row in lived.rows(STATE)}


def test_a_backup_is_restored_where_nothing_was(lived: Life, tmp_path: Path) -> None:
    before = lived.rows(STATE)
    lived.settings.parameters_path.write_text("parameters: {forgetting_threshold: 0.5}\n")
    path, _ = backup(lived.settings, tmp_path / "away" / "copy.biomem.tar", day(3))
    fresh = Life(tmp_path / "fresh")
    restored = restore(fresh.settings, path)
    assert (restored.aside, restored.mapping, restored.parameters) == (None, "none in the backup", "restored")
    assert read_overrides(fresh.settings) == {"forgetting_threshold": 0.5}
    assert fresh.rows(STATE) == before


def test_a_backup_is_proved_by_a_build_from_its_log(lived: Life) -> None:
    path, _ = backup(lived.settings, None, day(3))
    verdicts = {comparison.model: comparison.verdict for comparison in check(lived.settings, path, report=print)}
    assert verdicts["memory_traces"] == "equal"
    assert "different" not in verdicts.values()


def test_a_damaged_or_foreign_file_is_refused_and_the_warehouse_stays(lived: Life, tmp_path: Path) -> None:
    before = lived.rows(STATE)
    path, _ = backup(lived.settings, None, day(3))
    whole = path.read_bytes()
    for name, content in {
        "cut short": whole[: len(whole) // 2],
        "bit flipped": whole[:-200_000] + bytes([whole[-200_000] ^ 1]) + whole[-199_999:],
        "no archive": b"no archive",
        "empty": b"",
    }.items():
        bad = tmp_path / name
        bad.write_bytes(content)
        with pytest.raises(InputError, match=name):
            restore(lived.settings, bad)
    with pytest.raises(InputError, match="there is no file"):
        restore(lived.settings, tmp_path / "nowhere")
    assert lived.rows(STATE) == before


def test_an_archive_of_other_files_is_refused(life: Life, tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("../../escaped")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(InputError, match="no whole backup"):
        restore(life.settings, path)
    assert not (tmp_path.parent / "escaped").exists()


def test_nothing_is_overwritten_and_nothing_made_of_nothing(lived: Life, tmp_path: Path) -> None:
    path, _ = backup(lived.settings, tmp_path / "one.tar", day(3))
    with pytest.raises(InputError, match="exists already"):
        backup(lived.settings, path, day(3))
    with pytest.raises(WarehouseError, match="nothing to back up"):
        backup(Life(tmp_path / "empty").settings, None, day(3))
