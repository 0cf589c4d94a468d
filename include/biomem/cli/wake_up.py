"""`biomem source wake-up`: what makes a source tell at once that it was written."""

from __future__ import annotations

from typing import Annotated

import typer

from biomem.cli.cursors import SourceName, chosen_source
from biomem.cli.source import source_app
from biomem.cli.state import console
from biomem.errors import ConfigurationError, SourceError


def register(app: typer.Typer) -> None:
    """Join `biomem source`, which the module `source` registers."""


@source_app.command("wake-up")
def wake_up(
    ctx: typer.Context,
    source: SourceName = None,
    print_ddl: Annotated[
        bool, typer.Option("--print-ddl", help="Print the SQL that the table's owner must run, and nothing else.")
    ] = False,
) -> None:
    """Check that what is committed to the source wakes the pipeline; exit code 1 when it does not.

    Needs `wake_up: true` in source.yml. Changes nothing in the source.
    """
    from biomem.source import wake_up
    from biomem.source.dsn import connect

    with chosen_source(ctx, source) as (chosen, dsn):
        if print_ddl:
            typer.echo(wake_up.ddl(chosen), nl=False)
            return
        if not chosen.wake_up:
            raise ConfigurationError(
                f"source {chosen.name!r} is not to wake: write `wake_up: true` in source.yml first"
            )
        with connect(dsn, autocommit=True) as pg:
            lacks = wake_up.find_problem(pg, chosen)
        if lacks:
            raise SourceError(
                f"source {chosen.name!r} wakes nobody: {lacks}. `biomem source wake-up --source {chosen.name} "
                "--print-ddl` prints the SQL for the table's owner"
            )
        line = f"{chosen.name}: what is committed wakes the pipeline (channel {wake_up.channel(chosen)})"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
