"""`biomem export`: the memories and their accesses as a file, which `biomem load` takes back."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from biomem.cli.state import console, parse_as_of, settings


class Format(str, Enum):
    """The kinds of file."""

    jsonl = "jsonl"
    parquet = "parquet"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(export)


def export(
    ctx: typer.Context,
    form: Annotated[Format, typer.Option("--format", help="JSON lines, or Parquet.")] = Format.jsonl,
    agent: Annotated[str | None, typer.Option("--agent", help="Only the memories of this agent.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="T", help="Only what was logged up to this instant (ISO 8601).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: memories.FORMAT here; NAME.jsonl.gz packs.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write the memories with their accesses to a file that `biomem load` takes.

    State is not in it: it follows from what is. Neither are memories deleted in the source, nor embeddings.
    """
    from biomem.warehouse.export import export as write

    exported = write(
        settings(ctx),
        out or Path(f"memories.{form.value}"),
        form=form.value,
        agent_id=agent,
        as_of=parse_as_of(as_of),
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps(asdict(exported)))
    else:
        console.print(f"{exported.path}: {exported.memories:,} memories", markup=False, highlight=False, soft_wrap=True)
