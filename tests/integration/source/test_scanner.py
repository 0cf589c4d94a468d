"""The extension that reads PostgreSQL: its signature is checked once, and never left out for another file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest
from biomem.settings import load_settings
from biomem.source import scanner
from biomem.warehouse.connection import open_warehouse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "_checked", None)


def test_the_signature_is_left_out_only_for_the_very_file_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scanner.settings_for_reading() == {}
    scanner.check_extension()
    assert scanner.settings_for_reading() == {"allow_unsigned_extensions": "true"}
    other = tmp_path / "postgres_scanner.duckdb_extension"
    other.write_bytes(scanner._extension().read_bytes())
    monkeypatch.setattr(scanner, "_extension", lambda: other)
    assert scanner.settings_for_reading() == {}


def test_a_file_that_is_gone_is_left_to_the_pull_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scanner.check_extension()
    monkeypatch.setattr(scanner, "_extension", lambda: tmp_path / "gone.duckdb_extension")
    assert scanner.settings_for_reading() == {}


def test_a_file_that_was_altered_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    altered = bytearray(scanner._extension().read_bytes())
    altered[len(altered) // 2] ^= 1
    other = tmp_path / "postgres_scanner.duckdb_extension"
    other.write_bytes(altered)
    monkeypatch.setattr(scanner, "_extension", lambda: other)
    with pytest.raises(duckdb.IOException, match="signature"):
        scanner.check_extension()
    assert scanner.settings_for_reading() == {}


def test_once_it_is_loaded_no_other_can_be_without_a_signature(tmp_path: Path, dsn: str) -> None:
    scanner.check_extension()
    with open_warehouse(load_settings(home=tmp_path), config=scanner.settings_for_reading()) as con:
        with scanner.attached(con, dsn):
            assert scanner.query(con, "select 1").fetchone() == (1,)
        assert con.execute("select current_setting('allow_unsigned_extensions')").fetchone() == (False,)
