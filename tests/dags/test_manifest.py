"""When the manifest is made anew."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from biomem.errors import ConfigurationError
from biomem_airflow import manifest

if TYPE_CHECKING:
    from pathlib import Path

    from biomem.settings import Settings

PROJECT = "name: tiny\nprofile: tiny\nmodel-paths: [models]\n"
PROFILE = "tiny: {target: test, outputs: {test: {type: duckdb, path: ':memory:'}}}\n"


@pytest.fixture
def project(tmp_path: Path, settings: Settings) -> Settings:
    models = tmp_path / "dbt" / "models"
    models.mkdir(parents=True)
    (tmp_path / "dbt" / "dbt_project.yml").write_text(PROJECT)
    (tmp_path / "dbt" / "profiles.yml").write_text(PROFILE)
    (models / "one.sql").write_text("select 1 as x")
    return replace(settings, project_root=tmp_path)


def test_it_is_made_when_missing_and_after_a_change(project: Settings) -> None:
    assert manifest.is_stale(project)
    manifest.make(project)
    assert not manifest.is_stale(project)
    changed = project.dbt_dir / "models" / "one.sql"
    later = project.manifest_path.stat().st_mtime + 1
    os.utime(changed, (later, later))
    assert manifest.is_stale(project)


def test_a_project_that_cannot_be_parsed_is_told_with_the_reason(project: Settings) -> None:
    (project.dbt_dir / "models" / "one.sql").write_text("select * from {{ ref('nobody') }}")
    with pytest.raises(ConfigurationError, match="nobody"):
        manifest.make(project)
