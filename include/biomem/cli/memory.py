"""Commands about what is remembered: a memory's story, and building everything anew."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from biomem.cli.state import console, err_console, parse_as_of, settings

MemoryId = Annotated[str, typer.Argument(help="Id of the memory, as the source has it.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
AsOf = Annotated[str | None, typer.Option(help="Instant up to which to compute, ISO 8601; UTC without an offset.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Change nothing: compare with a build from the log; exit 1 if they differ.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(explain)
    app.command()(rebuild)


def explain(ctx: typer.Context, memory_id: MemoryId, as_json: AsJson = False) -> None:
    """Tell a memory's whole story with the numbers: from its encoding to what it is worth now."""
    from biomem.explain import explain as tell

    story = tell(settings(ctx), memory_id)
    if as_json:
        typer.echo(json.dumps(story.as_dict(), indent=2, ensure_ascii=False))
        return
    for line in story.lines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def rebuild(ctx: typer.Context, verify: Verify = False, as_of: AsOf = None) -> None:
    """Build every model anew from the log; with --verify, prove that what was built bit by bit is the same."""
    from biomem.warehouse import rebuild as rebuilding

    until = parse_as_of(as_of)
    if not verify:
        rebuilding.rebuild(settings(ctx), until, report=err_console.print)
        console.print("rebuilt; the next run of each stage publishes what has changed")
        return
    comparisons = rebuilding.verify(settings(ctx), until, report=err_console.print)
    table = Table("model", "rows", "rebuilt", "", title_justify="left")
    for comparison in comparisons:
        table.add_row(
            comparison.model,
            str(comparison.rows),
            str(comparison.rebuilt_rows),
            comparison.verdict,
            style={"different": "red", "empty": "dim"}.get(comparison.verdict),
        )
    console.print(table)
    different = [comparison for comparison in comparisons if comparison.verdict == "different"]
    for comparison in different:
        console.print(f"{comparison.model}: the first rows that differ")
        for row in comparison.differences:
            console.print(f"  {row}", markup=False, highlight=False, soft_wrap=True)
    if different:
        raise typer.Exit(1)
    console.print("equal: the same state follows from the log alone")
