"""The environment that a local Airflow gets."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from biomem.errors import ConfigurationError
from biomem.settings import load_settings
from biomem_airflow import environment

if TYPE_CHECKING:
    from pathlib import Path


def test_the_shared_settings_can_be_read_by_docker_compose_too() -> None:
    values = environment.read_env_file(load_settings().project_root / "config" / "airflow.env")
    assert values["AIRFLOW__CORE__EXECUTOR"] == "biomem_airflow.executor.PromptExecutor"
    assert all(not value.startswith(("'", '"')) for value in values.values()), "an env_file keeps the quotes"


def test_every_shared_setting_is_one_that_airflow_knows() -> None:
    from airflow.configuration import conf

    values = environment.read_env_file(load_settings().project_root / "config" / "airflow.env")
    for name in values:
        if name.startswith("AIRFLOW__") and not name.startswith("AIRFLOW__COSMOS__"):
            section, key = name.removeprefix("AIRFLOW__").lower().split("__", 1)
            assert key in conf.configuration_description[section]["options"], f"Airflow has no [{section}] {key}"


def test_a_line_that_is_no_setting_is_named(tmp_path: Path) -> None:
    path = tmp_path / "airflow.env"
    path.write_text("# fine\n\nA=1\nnonsense\n")
    with pytest.raises(ConfigurationError, match=r"line 4: expected KEY=VALUE, got 'nonsense'"):
        environment.read_env_file(path)


def test_keys_and_password_are_made_once_and_belong_to_their_owner_alone(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    environment.write_secrets(settings)
    files = [environment.password_file(settings), settings.airflow_home / "airflow.cfg"]
    before = [path.read_text() for path in files]
    environment.write_secrets(settings)
    assert [path.read_text() for path in files] == before
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert len(environment.read_password(settings)) >= 16


def test_a_connection_string_becomes_a_connection() -> None:
    written = environment.airflow_connection("host=db port=6543 user=ada password='p w' dbname=life sslmode=require")
    assert json.loads(written) == {
        "conn_type": "postgres",
        "host": "db",
        "port": 6543,
        "login": "ada",
        "password": "p w",
        "schema": "life",
        "extra": {"sslmode": "require"},
    }
