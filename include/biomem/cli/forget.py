"""`biomem forget --hard`: remove memories for good."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biomem.cli.state import console, err_console, settings
from biomem.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biomem.deletion.forget import Report, Request
    from biomem.settings import Settings

SHOWN_IDS = 20
OUT_OF_REACH = (
    "the source's own row, the write-ahead logs and backups of your PostgreSQL servers, and files that you exported "
    "or copied yourself"
)


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(forget)


def forget(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of the memories, as the source has them.")],
    hard: Annotated[
        bool, typer.Option("--hard", help="Remove for good: content, traces, everything but a receipt.")
    ] = False,
    readmit: Annotated[
        bool, typer.Option("--readmit", help="The reverse: let what was removed be pulled from the source again.")
    ] = False,
    with_repeats: Annotated[
        bool, typer.Option("--with-repeats", help="Also the memories that say the same (merged repeats).")
    ] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept in the receipt. Quote no content.")] = None,
    requested_by: Annotated[
        str | None, typer.Option("--requested-by", help="Who asks; kept in the receipt. Default: this user.")
    ] = None,
    skip_vacuum: Annotated[
        bool,
        typer.Option("--skip-vacuum", help="Leave the bytes in PostgreSQL's files: no table is locked to rewrite it."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Remove memories for good, from every layer; for privacy, not for tidiness.

    Ordinary forgetting happens by itself and deletes nothing. The source is never written: its row stays until you
    delete it there, and is not pulled again. Harmless to repeat; a deletion that was cut short is finished.
    """
    from biomem.deletion.forget import Request

    here = settings(ctx)
    if readmit:
        _readmit(here, ids)
        return
    if not hard:
        raise ConfigurationError(
            "memories fade by themselves (nightly_decay), and nothing is deleted by that; to remove them for good, "
            "write biomem forget --hard ID..."
        )
    request = Request(
        ids=tuple(ids),
        # the time of asking is a fact about the asking, and part of no computation
        forgotten_at=datetime.now(timezone.utc),
        requested_by=requested_by or getpass.getuser(),
        reason=reason,
        with_repeats=with_repeats,
        skip_vacuum=skip_vacuum,
    )
    report, in_source = _run(here, request, is_dry_run=dry_run, is_sure=yes)
    if as_json:
        typer.echo(json.dumps({**asdict(report), "still_in_source": in_source, "is_dry_run": dry_run}, indent=2))
    else:
        _print(report, in_source, is_dry_run=dry_run)
    if report.unknown:
        raise typer.Exit(1)


def _run(here: Settings, request: Request, *, is_dry_run: bool, is_sure: bool) -> tuple[Report, list[dict[str, Any]]]:
    from biomem.deletion import forget as deletion
    from biomem.deletion.source import still_in_source
    from biomem.demo.postgres import connections
    from biomem.recall.past import discard_all

    def tell(text: str) -> None:
        err_console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    with connections(here) as there:
        if is_dry_run:
            report = deletion.preview(here, request, target_dsn=there.target_dsn)
        else:
            if not is_sure:
                _ask(len(request.ids))
            report = deletion.forget(here, request, target_dsn=there.target_dsn, tell=tell)
            # kept for questions about the past, and built again for the next one
            discard_all(here)
        in_source = still_in_source(here, [*report.forgotten, *report.already_forgotten], source_dsn=there.source_dsn)
    return report, [asdict(rows) for rows in in_source]


def _ask(number: int) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody is there to ask whether that is meant: add --yes, or look with --dry-run")
    typer.confirm(f"Remove {number} memories for good? This cannot be undone.", abort=True)


def _readmit(here: Settings, ids: list[str]) -> None:
    from biomem.warehouse import removal
    from biomem.warehouse.connection import open_warehouse

    with open_warehouse(here, purpose="forget --readmit") as con:
        readmitted = removal.readmit(con, ids)
    if not readmitted:
        raise ConfigurationError(f"none of {', '.join(ids)} is being kept away; nothing was changed")
    console.print(
        f"{', '.join(readmitted)} may come back: `biomem source pull --reconcile` takes what the source still has",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _print(report: Report, in_source: list[dict[str, Any]], *, is_dry_run: bool) -> None:
    for line in _lines(report, in_source, is_dry_run=is_dry_run):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _lines(report: Report, in_source: list[dict[str, Any]], *, is_dry_run: bool) -> Iterator[str]:
    done = "would be removed" if is_dry_run else f"removed for good in {report.seconds:.1f} s"
    yield f"{len(report.forgotten)} memories {done}{': ' if report.forgotten else ''}{_some(report.forgotten)}"
    if report.rows:
        yield "  rows that held or named them: " + ", ".join(f"{table} {n}" for table, n in sorted(report.rows.items()))
    if report.files_cleaned:
        yield f"  files cleaned: {', '.join(report.files_cleaned)}"
    if report.files_removed:
        yield f"  files deleted, which are made again when needed: {', '.join(report.files_removed)}"
    for memory_id, twins in report.repeats.items():
        if staying := [twin for twin in twins if twin not in report.forgotten]:
            yield f"  {_some(staying)} say the same as {memory_id} and stay; --with-repeats takes them too"
    if report.already_forgotten:
        yield f"{_some(report.already_forgotten)}: removed before"
    if report.unknown:
        yield f"NOT KNOWN, nothing was done about: {_some(report.unknown)}"
    for rows in in_source:
        yield f"STILL IN THE SOURCE, {rows['table']}: {_some(rows['ids'])} (not pulled again). Delete them there too:"
        yield f"  {rows['sql']}"
    yield from (f"LEFT: {text}" for text in report.left)
    if report.forgotten and not is_dry_run:
        yield f"Out of reach: {OUT_OF_REACH}."


def _some(ids: list[str]) -> str:
    shown = ", ".join(ids[:SHOWN_IDS])
    return f"{shown} and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else shown
