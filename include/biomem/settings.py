"""Settings of one process: the only module that reads the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from biomem.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Settings:
    """Where things lie and whom to connect to.

    `source_dsn` and `target_dsn` are libpq connection strings or URLs, or None when the environment names neither;
    `connections` in `biomem.demo.postgres` then falls back to the embedded PostgreSQL. Never print them: they may hold
    a password (use `biomem.source.dsn.redact`). `mcp_token` and the file `mcp_token_file` let agents in over HTTP.
    `own_parameters` is the file of the home's parameters: a copy of a warehouse, in a home of its own, keeps them.
    `alerts` are Apprise URLs of whom to tell about a late window.
    """

    home: Path
    project_root: Path
    source_dsn: str | None
    target_dsn: str | None
    source_table: str
    max_memory: str
    threads: int
    time_zone: str
    embeddings: str = "default"
    embeddings_url: str | None = None
    embeddings_key: str | None = field(default=None, repr=False)
    mcp_token: str | None = field(default=None, repr=False)
    mcp_token_file: Path | None = None
    own_parameters: Path | None = None
    alerts: str | None = field(default=None, repr=False)

    @property
    def warehouse_path(self) -> Path:
        return self.home / "warehouse.duckdb"

    @property
    def dbt_dir(self) -> Path:
        return self.project_root / "dbt"

    @property
    def dags_dir(self) -> Path:
        return self.project_root / "dags"

    @property
    def plugins_dir(self) -> Path:
        return self.project_root / "plugins"

    @property
    def manifest_path(self) -> Path:
        return self.dbt_dir / "target" / "manifest.json"

    @property
    def postgres_dir(self) -> Path:
        return self.home / "postgres"

    @property
    def airflow_home(self) -> Path:
        return self.home / "airflow"

    @property
    def demo_dir(self) -> Path:
        return self.home / "demo"

    @property
    def mapping_path(self) -> Path:
        return self.home / "source.yml"

    @property
    def alerts_path(self) -> Path:
        return self.home / "alerts.yml"

    @property
    def parameters_path(self) -> Path:
        return self.own_parameters or self.home / "parameters.yml"


def load_settings(home: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings once. `home` (the `--home` option) wins over BIOMEM_HOME, which wins over `var/`.

    Raises ConfigurationError when a value is malformed.
    """
    env = os.environ if environ is None else environ
    root = Path(env.get("BIOMEM_PROJECT_ROOT") or PROJECT_ROOT)
    threads = env.get("BIOMEM_THREADS") or "4"
    if not threads.isdigit() or int(threads) < 1:
        raise ConfigurationError(f"BIOMEM_THREADS must be a whole number of at least 1, got {threads!r}")
    folder = (home or Path(env.get("BIOMEM_HOME") or root / "var")).expanduser().resolve()
    return Settings(
        home=folder,
        project_root=root,
        source_dsn=env.get("BIOMEM_SOURCE_DSN") or env.get("AIRFLOW_CONN_MEMORY_SOURCE") or None,
        target_dsn=env.get("BIOMEM_TARGET_DSN") or env.get("AIRFLOW_CONN_MEMORY_TARGET") or None,
        source_table=env.get("BIOMEM_SOURCE_TABLE") or "public.memories",
        max_memory=env.get("BIOMEM_MAX_MEMORY") or "4GB",
        threads=int(threads),
        time_zone=env.get("BIOMEM_TIME_ZONE") or "UTC",
        embeddings=env.get("BIOMEM_EMBEDDINGS") or "default",
        embeddings_url=env.get("BIOMEM_EMBEDDINGS_URL") or None,
        embeddings_key=env.get("BIOMEM_EMBEDDINGS_KEY") or None,
        mcp_token=env.get("BIOMEM_MCP_TOKEN") or None,
        mcp_token_file=Path(tokens).expanduser() if (tokens := env.get("BIOMEM_MCP_TOKEN_FILE")) else None,
        own_parameters=folder / "parameters.yml",
        alerts=env.get("BIOMEM_ALERTS") or None,
    )
