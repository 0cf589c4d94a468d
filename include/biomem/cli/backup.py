"""Commands that keep the warehouse safe: a backup, and the way back from one."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from biomem.cli.state import console, err_console, settings

Into = Annotated[
    Path | None,
    typer.Argument(help="File to write; by default one named by the time, in <home>/backups.", show_default=False),
]
From = Annotated[Path, typer.Argument(help="File that `biomem backup` has written.", show_default=False)]
Verify = Annotated[bool, typer.Option("--verify", help="Restore it aside, and compare with a build from its log.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(backup)
    app.command()(restore)


def backup(ctx: typer.Context, file: Into = None, verify: Verify = False, as_json: AsJson = False) -> None:
    """Write the warehouse and the mapping into one file, while all else goes on; exit 1 when --verify finds a flaw."""
    from biomem.warehouse import backup as backups

    path, account = backups.backup(settings(ctx), file, datetime.now(timezone.utc))
    flawed = _flawed(ctx, path) if verify else []
    if as_json:
        typer.echo(json.dumps({"path": str(path), **asdict(account), "flawed": flawed if verify else None}))
    else:
        counts = ", ".join(f"{count:,} {table}" for table, count in account.rows.items())
        console.print(f"{path}: {account.bytes:,} bytes, {counts}", highlight=False, soft_wrap=True)
        if verify:
            verdict = f"differs in {', '.join(flawed)}" if flawed else "equal: its state follows from its log alone"
            console.print(verdict, soft_wrap=True)
    if flawed:
        raise typer.Exit(1)


def restore(ctx: typer.Context, file: From, yes: Yes = False) -> None:
    """Put the warehouse of a backup in the place of the present one, which is kept beside it."""
    from biomem.warehouse import backup as backups

    if settings(ctx).warehouse_path.exists() and not yes:
        typer.confirm(f"Replace {settings(ctx).warehouse_path} (it is kept beside)?", abort=True)
    restored = backups.restore(settings(ctx), file)
    console.print(
        f"restored as of {restored.account.made_at}; mapping: {restored.mapping}; parameters: {restored.parameters}",
        soft_wrap=True,
    )
    if restored.aside:
        console.print(f"the warehouse before is kept as {restored.aside}", soft_wrap=True)
    console.print("the next window pulls what was written since, and publishes the restored state")


def _flawed(ctx: typer.Context, path: Path) -> list[str]:
    from biomem.warehouse import backup as backups

    comparisons = backups.check(settings(ctx), path, report=err_console.print)
    return [comparison.model for comparison in comparisons if comparison.verdict == "different"]
