"""The dbt manifest that the DAGs are rendered from: made when it is missing or older than the project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from biomem.errors import ConfigurationError

if TYPE_CHECKING:
    from biomem.settings import Settings

SUFFIXES = (".sql", ".yml", ".csv")
MADE = ("target", "logs")


def is_stale(settings: Settings) -> bool:
    """Whether a model could be missing in the DAGs: the project has changed since its manifest was made."""
    manifest = settings.manifest_path
    return not manifest.exists() or last_change(settings) > manifest.stat().st_mtime


def last_change(settings: Settings) -> float:
    """When a file of the dbt project was last written (seconds since 1970)."""
    files = (path for path in settings.dbt_dir.rglob("*") if path.suffix in SUFFIXES)
    own = (path for path in files if path.relative_to(settings.dbt_dir).parts[0] not in MADE)
    return max((path.stat().st_mtime for path in own), default=0.0)


def make(settings: Settings) -> None:
    """Parse the project, as `make setup` does. Raises ConfigurationError with what dbt says when it cannot be."""
    dbt = Path(sys.executable).parent / "dbt"
    folder = str(settings.dbt_dir)
    done = subprocess.run(
        [dbt, "--quiet", "parse", "--project-dir", folder, "--profiles-dir", folder, "--target", "test"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ConfigurationError(
            f"the dbt project in {folder} cannot be parsed:\n{(done.stdout + done.stderr).strip()}"
        )
    settings.manifest_path.touch()
