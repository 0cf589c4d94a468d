"""The container stack, as far as it can be judged without a Docker engine; tests/e2e/test_compose.py runs it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {name for name, service in SERVICES.items() if service["restart"] == "no"}
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY")


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def test_the_compose_file_obeys_the_compose_specification() -> None:
    result = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE_FILE)
    assert result.returncode == 0, result.stdout + result.stderr


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    result = run(BIN / "hadolint", ROOT / "Dockerfile")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("script", sorted((ROOT / "docker").glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_executable_and_plain_shell(script: Path) -> None:
    assert script.stat().st_mode & stat.S_IXUSR
    assert run("sh", "-n", script).returncode == 0


def test_every_image_is_pinned() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    images = re.findall(r"^FROM (\S+)", dockerfile, re.M) + [service["image"] for service in SERVICES.values()]
    loose = [image for image in images if ":" not in image or image.endswith(":latest")]
    assert not loose, f"name a version of these images: {loose}"


def test_the_dockerfile_needs_no_image_to_be_read_and_ends_as_an_ordinary_user() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert not dockerfile.startswith("# syntax="), "a syntax line is one more image to fetch"
    assert re.findall(r"^USER (\S+)", dockerfile, re.M)[-1] not in {"0", "root"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_a_service_that_stays_is_watched_and_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_what_ends_by_itself_is_waited_for_by_another_service() -> None:
    waited_for = {
        name
        for service in SERVICES.values()
        for name, dependency in service.get("depends_on", {}).items()
        if dependency["condition"] == "service_completed_successfully"
    }
    assert waited_for == ONE_SHOT, "`docker compose up --wait` takes the end of any other container for a failure"


def test_ports_listen_on_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_only_the_scheduler_can_write_the_warehouse() -> None:
    holders = {
        name: volume.endswith(":ro")
        for name, service in SERVICES.items()
        for volume in service.get("volumes", [])
        if volume.startswith("warehouse:")
    }
    assert holders == {"airflow-scheduler": False, "airflow-dag-processor": True}, "DuckDB takes one writing process"


@pytest.mark.parametrize("name", SERVICES)
def test_no_password_stands_in_the_environment_of_a_service(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    telling = [key for key in environment if SECRET_NAME.search(key) and not key.endswith("_FILE")]
    assert not telling, f"hand these over as secrets: {telling}"
    assert not [value for value in environment.values() if re.search(r"://[^/@\s]*:[^/@\s]+@", str(value))]


def test_every_secret_is_a_file_of_one_directory_that_must_be_named() -> None:
    files = {name: secret["file"] for name, secret in COMPOSE["secrets"].items()}
    assert all(re.fullmatch(rf"\$\{{SECRETS_DIR[^}}]*\}}/{name}\.txt", file) for name, file in files.items()), files
    assert "${SECRETS_DIR:?" in COMPOSE_FILE.read_text(), "an empty SECRETS_DIR must be refused with a message"


def test_every_service_mounts_only_secrets_that_exist_and_none_is_left_over() -> None:
    mounted = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert mounted == set(COMPOSE["secrets"])
    assert "postgres_password" not in {
        secret for name in SERVICES if name.startswith("airflow") for secret in SERVICES[name]["secrets"]
    }, "Airflow has no business as superuser"


def test_the_example_settings_name_what_the_compose_file_reads() -> None:
    read = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_FILE.read_text()))
    named = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M))
    assert read == named


def test_the_build_context_is_a_list_of_what_is_needed() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    wanted = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        name
        for sources in re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
        for name in sources.split()
    }
    assert wanted == copied


def test_the_image_gets_the_versions_that_were_tested() -> None:
    pins = r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)"
    tested = set(re.findall(pins, (ROOT / "requirements.lock").read_text(), re.M))
    names = {name for name, _ in tested}
    installed = set(re.findall(pins, (ROOT / "requirements-server.lock").read_text(), re.M))
    strange = {pin for pin in installed if pin[0] in names} - tested
    assert not strange, f"run make lock: these pins of requirements-server.lock are not in requirements.lock: {strange}"
    assert ("apache-airflow", "3.3.2") in installed
    assert "apache/airflow:3.3.2-" in (ROOT / "Dockerfile").read_text()


def enter(tmp_path: Path, secrets: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run `command` behind the entry point of the image with these secrets mounted."""
    mounted = tmp_path / "secrets"
    mounted.mkdir()
    for name, value in secrets.items():
        (mounted / name).write_text(value)
    return run(
        ROOT / "docker" / "entrypoint.sh",
        *command,
        env={
            "PATH": os.environ["PATH"],
            "SECRETS_PATH": str(mounted),
            "PGPASSFILE": str(tmp_path / "pgpass"),
            "AIRFLOW_CONFIG": str(tmp_path / "airflow.cfg"),
        },
    )


@pytest.mark.parametrize("name", ["airflow_db_password", "fernet_key", "target_password"])
def test_an_empty_secret_is_refused_by_name(tmp_path: Path, name: str) -> None:
    result = enter(tmp_path, {"jwt_secret": "x", name: "\n"}, "echo", "started")
    assert result.returncode == 78
    assert f"The secret {name} is empty" in result.stderr
    assert "started" not in result.stdout


def test_secrets_reach_libpq_and_airflow_as_private_files_and_nothing_else(tmp_path: Path) -> None:
    secrets = {"airflow_db_password": "a:b\\c\n", "source_password": "plain", "jwt_secret": "50%\n", "fernet_key": "k="}
    result = enter(tmp_path, secrets, "env")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "pgpass").read_text() == "*:*:*:airflow:a\\:b\\\\c\n*:*:*:biomem_reader:plain\n"
    config = (tmp_path / "airflow.cfg").read_text()
    assert "[core]\nfernet_key = k=\n" in config
    assert "[api_auth]\njwt_secret = 50%%\n" in config
    assert "secret_key" not in config, "a service gets only the secrets that it mounts"
    for file in ("pgpass", "airflow.cfg"):
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600
    assert "plain" not in result.stdout + result.stderr


def test_make_secrets_makes_each_one_once(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    shutil.copy(ROOT / ".env.example", tmp_path)
    script = tmp_path / "docker" / "make-secrets.sh"
    assert run(script).returncode == 0

    made = {file.stem: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert len(set(made.values())) == len(made), "two secrets are the same"
    assert all(len(value.strip()) >= 18 for value in made.values())
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert (tmp_path / ".env").read_text() == (ROOT / ".env.example").read_text()

    again = run(script)
    assert (again.returncode, again.stdout) == (0, "")
    assert {file.stem: file.read_text() for file in (tmp_path / "secrets").iterdir()} == made
