"""`biomem source pull`: one pull of the source tables and the access log, outside Airflow."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from biomem.cli.state import console, err_console, parse_as_of, settings

if TYPE_CHECKING:
    from biomem.source.progress import Progress

source_app = typer.Typer(help="Look at and pull the source tables.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(source_app, name="source")


@source_app.callback()
def _source() -> None:
    """Look at and pull the source tables."""


@source_app.command()
def pull(
    ctx: typer.Context,
    source: Annotated[str | None, typer.Option("--source", help="Only this source of source.yml.")] = None,
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="Compare all keys now, to see every deletion.")
    ] = False,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="Time of undated deletions; the newest in the data by default."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Pull what is new into the warehouse, once.

    Reads what was committed since the last pull and changes nothing in the source. Safe to repeat.
    """
    from biomem.demo.postgres import connections
    from biomem.source.mapping import choose_source
    from biomem.source.pull import pull_all
    from biomem.warehouse.connection import open_warehouse

    options = settings(ctx)
    instant = parse_as_of(as_of)
    chosen = choose_source(options, source)
    with connections(options) as there, open_warehouse(options, purpose="biomem source pull") as con:
        results = pull_all(
            con,
            chosen,
            source_dsn=there.source_dsn,
            target_dsn=there.target_dsn,
            as_of=instant,
            reconcile=reconcile,
            report=_print_progress,
        )
    if as_json:
        typer.echo(json.dumps([asdict(result) for result in results], indent=2))
        return
    for result in results:
        to = err_console if result.rows_skipped else console
        to.print(result.describe(), markup=False, highlight=False, soft_wrap=True)


def _print_progress(progress: Progress) -> None:
    """On stderr, so that what the command prints stays what it did."""
    err_console.print(progress.describe(), markup=False, highlight=False, soft_wrap=True)
