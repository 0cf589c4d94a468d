"""The environment in which Airflow's processes run: `config/airflow.env` plus what differs from home to home."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from biomem.errors import ConfigurationError

from biomem_airflow.history import METADATA_URL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biomem.demo.postgres import Connections
    from biomem.settings import Settings

    from biomem_airflow.local.metadata import Metadata

USER = "admin"
LOCALHOST = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Where the local Airflow listens: the API and UI, and the two servers that hand out the logs of running tasks."""

    api: int
    worker_logs: int
    trigger_logs: int

    @property
    def url(self) -> str:
        return f"http://{LOCALHOST}:{self.api}"


def read_env_file(path: Path) -> dict[str, str]:
    """Read KEY=VALUE lines. Raises ConfigurationError for a line that is neither that, empty, nor a comment."""
    values: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        key, sign, value = stripped.partition("=")
        if not sign or not key.isidentifier():
            raise ConfigurationError(f"{path}, line {number}: expected KEY=VALUE, got {stripped!r}")
        values[key] = value
    return values


def base_environment(settings: Settings, metadata: Metadata, connections: Connections) -> dict[str, str]:
    """Return what every Airflow process of this home needs, on top of the environment of this process."""
    return {
        **read_env_file(settings.project_root / "config" / "airflow.env"),
        "AIRFLOW_HOME": str(settings.airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.dags_dir),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings.plugins_dir),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(settings.airflow_home / "logs" / "tasks"),
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_LOG_TARGET": "file",
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(settings.airflow_home / "logs" / "parsing"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata.url,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": metadata.async_url,
        METADATA_URL: metadata.url,
        "AIRFLOW_CONN_MEMORY_SOURCE": airflow_connection(connections.source_dsn),
        "AIRFLOW_CONN_MEMORY_TARGET": airflow_connection(connections.target_dsn),
        # the connections above are meant, also where this process was given others (the demo never touches those)
        "BIOMEM_SOURCE_DSN": "",
        "BIOMEM_TARGET_DSN": "",
        # a cache that all users of the machine shared would belong to the first of them
        "AIRFLOW__COSMOS__CACHE_DIR": str(settings.airflow_home / "cosmos"),
        "BIOMEM_HOME": str(settings.home),
        "BIOMEM_PROJECT_ROOT": str(settings.project_root),
        # the settings file of Airflow (the preload), the virtual environment's commands
        "PYTHONPATH": _joined(str(settings.project_root / "config"), os.environ.get("PYTHONPATH")),
        "PATH": _joined(str(Path(sys.executable).parent), os.environ.get("PATH")),
    }


def server_environment(settings: Settings, ports: Ports, *, scheduled: bool) -> dict[str, str]:
    """Return what a running Airflow needs besides; `scheduled` False leaves it to the API to start runs."""
    return {
        "AIRFLOW__API__HOST": LOCALHOST,
        "AIRFLOW__API__PORT": str(ports.api),
        "AIRFLOW__API__BASE_URL": ports.url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{ports.url}/execution/",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports.worker_logs),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports.trigger_logs),
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": str(scheduled),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(settings)),
    }


def password_file(settings: Settings) -> Path:
    return settings.airflow_home / "passwords.json"


def read_password(settings: Settings) -> str:
    """Return the password of the local Airflow's user."""
    return str(json.loads(password_file(settings).read_text())[USER])


def write_secrets(settings: Settings) -> None:
    """Make the home's keys and password once, readable by their owner only, so that no command line or log has them."""
    home = settings.airflow_home
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    _write_once(password_file(settings), json.dumps({USER: secrets.token_urlsafe(12)}) + "\n")
    fernet_key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    _write_once(
        home / "airflow.cfg",
        "# The keys of this home; every other setting comes from the environment.\n"
        f"[core]\nfernet_key = {fernet_key}\n\n"
        f"[api]\nsecret_key = {secrets.token_urlsafe(32)}\n\n"
        f"[api_auth]\njwt_secret = {secrets.token_urlsafe(64)}\n",
    )


def airflow_connection(dsn: str) -> str:
    """Write a libpq connection string as the JSON in which Airflow takes a connection from the environment."""
    from psycopg.conninfo import conninfo_to_dict

    parts: dict[str, str | int | None] = dict(conninfo_to_dict(dsn))
    fields: Mapping[str, str] = {"host": "host", "user": "login", "password": "password", "dbname": "schema"}
    connection: dict[str, object] = {"conn_type": "postgres"}
    connection.update({name: parts.pop(key) for key, name in fields.items() if key in parts})
    if port := parts.pop("port", None):
        connection["port"] = int(port)
    if parts:
        connection["extra"] = parts
    return json.dumps(connection)


def _write_once(path: Path, text: str) -> None:
    if path.exists():
        return
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.rename(path)


def _joined(first: str, rest: str | None) -> str:
    return f"{first}{os.pathsep}{rest}" if rest else first
