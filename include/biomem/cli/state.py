"""What every command shares: the settings of this invocation and the two consoles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rich.console import Console

from biomem.errors import ConfigurationError
from biomem.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

    import typer

console = Console()
err_console = Console(stderr=True)


@dataclass
class State:
    """Options given before or after the command's name."""

    home: Path | None = None


def settings(ctx: typer.Context) -> Settings:
    """Settings of this invocation: `--home` (wherever it stood) over BIOMEM_HOME over `var/`."""
    state = ctx.find_root().obj
    return load_settings(home=state.home if isinstance(state, State) else None)


def parse_as_of(text: str | None) -> datetime | None:
    """An instant in ISO 8601; without an offset it is UTC; a date alone is its midnight.

    Raises ConfigurationError when the text is no instant.
    """
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigurationError(
            f"as_of {text!r} is no instant; write it as 2026-05-31T20:30:00Z or 2026-05-31 (UTC)"
        ) from error
    return instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)
