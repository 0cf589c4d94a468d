"""`biomem load`: bring a file of memories into the source table."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from biomem.cli.state import console, err_console, settings

if TYPE_CHECKING:
    from biomem.demo.load import LoadOptions, LoadReport
    from biomem.settings import Settings

ID_HELP = "Column with the memory's id; without one, ids are made from the date and the place in the file."
SPLIT_HELP = (
    "One memory a row (none) or a sentence (sentences). auto takes sentences where rows have a day, no time, no id, and"
    " long texts: a diary."
)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("load")(load)


def load(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .tsv or .jsonl file, plain or with .gz.")],
    table: Annotated[str | None, typer.Option(help="The source table; it is made when missing.")] = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help=ID_HELP)] = None,
    content: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with the text.")] = None,
    occurred_at: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with the time or the day.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with whose memory it is.")] = None,
    session: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with the conversation.")] = None,
    speaker: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with who said it.")] = None,
    split: Annotated[str, typer.Option(metavar="auto|sentences|none", help=SPLIT_HELP)] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Load a file of memories into the source table; loading it again changes nothing.

    JSONL fields: memory_id, agent_id, session, occurred_at, speaker, content, and where there are any updated_at, tags,
    importance and arousal (0 to 1), metadata, accesses. CSV columns are found by their usual names or named by options.
    Times without a zone are UTC. One transaction: a file with a fault loads nothing.
    """
    from biomem.demo.load import load_options

    columns = {
        "memory_id": id_,
        "content": content,
        "occurred_at": occurred_at,
        "agent_id": agent,
        "session_id": session,
        "speaker": speaker,
    }
    here = settings(ctx)
    report = _load(here, file, table or here.source_table, load_options(columns, split))
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        _print(file, report)


def _load(here: Settings, file: Path, table: str, options: LoadOptions) -> LoadReport:
    import psycopg
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from biomem.demo.load import load as load_file
    from biomem.demo.postgres import connections

    size = file.stat().st_size if file.is_file() else None
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=err_console,
        transient=True,
        disable=not err_console.is_terminal,
    )
    with (
        connections(here) as at,
        psycopg.connect(at.source_dsn, autocommit=True) as source,
        psycopg.connect(at.target_dsn, autocommit=True) as other,
        bar,
    ):
        target = source if at.source_dsn == at.target_dsn else other
        task = bar.add_task(f"Loading {file.name}", total=size)
        return load_file(
            file,
            source,
            target,
            table=table,
            options=options,
            on_bytes=lambda position: bar.update(task, completed=position),
        )


def _print(file: Path, report: LoadReport) -> None:
    say = console.print
    say(f"{file.name} -> {report.table}: {report.memories:,} memories", highlight=False)
    if report.is_split:
        say(
            f"  {report.entries:,} dated entries cut into sentences, one memory each;"
            " sentence n of a day happens at 21:00 UTC + 30 s x n (--split none keeps the entries whole)",
            highlight=False,
            soft_wrap=True,
        )
    say(f"  {report.inserted:,} new, {report.updated:,} changed, {report.unchanged:,} as before", highlight=False)
    if report.accesses:
        say(f"  {report.accesses:,} accesses", highlight=False)
    if report.repeated:
        say(f"  {report.repeated:,} rows stood there twice and count once", highlight=False)
    if report.blank:
        say(f"  {report.blank:,} have no text: they are kept, and skipped until they have some", highlight=False)
    if report.ignored_columns:
        say(f"  columns not used: {', '.join(report.ignored_columns)}", highlight=False, markup=False)
