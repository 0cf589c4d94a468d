"""Commands that need Airflow; they join `biomem` through the entry point group `biomem.commands`."""

from __future__ import annotations

import json
from typing import Annotated, Optional

import typer
from biomem.cli.state import console, err_console, parse_as_of, settings

AsOf = Annotated[
    Optional[str],  # noqa: UP045 - typer evaluates this on Python 3.10
    typer.Option("--as-of", metavar="T", help="Compute the memory as it is at this instant (ISO 8601). Default: now."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(run)
    app.command()(up)
    app.command()(down)
    app.command()(status)


def run(
    ctx: typer.Context,
    dags: Annotated[
        list[str],
        typer.Argument(
            metavar="DAG...",
            help="short_term_memory, consolidation, nightly_decay, weekly_homeostasis: one or more, in that order.",
        ),
    ],
    as_of: AsOf = None,
    agent_id: Annotated[
        Optional[str], typer.Option("--agent-id", help="Only the memories of this agent.")  # noqa: UP045
    ] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Compute everything again, not only what is new.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs and their tasks as JSON.")] = False,
) -> None:
    """Run one or more of the rhythms once, in this process, and take in everything up to the instant given.

    Where `biomem up` runs an Airflow for the same home, the runs go through that one.
    """
    from biomem_airflow.commands import run_dags

    conf = {"as_of": as_of and parse_as_of(as_of).isoformat(), "agent_id": agent_id, "full_refresh": full_refresh}
    results = run_dags(settings(ctx), dags, conf, err_console)
    if as_json:
        typer.echo(json.dumps({"runs": [result.as_dict() for result in results]}, indent=1))


def up(
    ctx: typer.Context,
    port: Annotated[Optional[int], typer.Option("--port", help="Port of the UI.", show_default="8080")] = None,  # noqa: UP045
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay until Ctrl-C.")] = False,
) -> None:
    """Start Airflow with its UI on this machine; the DAGs run by their schedules until `biomem down`."""
    from biomem_airflow import commands

    local = (commands.up_here if foreground else commands.up)(settings(ctx), port, err_console)
    if local is not None:
        console.print(f"Airflow: {local.url}  user {local.user}, password in {local.password_file}", soft_wrap=True)


def down(ctx: typer.Context) -> None:
    """Stop the Airflow of this home, and its embedded PostgreSQL when nobody else uses it."""
    from biomem_airflow.local import supervisor

    console.print("Airflow is stopped." if supervisor.stop(settings(ctx)) else "No Airflow was running.")


def status(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False
) -> None:
    """Say what runs, what the memory holds, and when each rhythm last ran."""
    from biomem_airflow.status import collect, show

    found = collect(settings(ctx))
    if as_json:
        typer.echo(json.dumps(found, indent=1, default=str))
    else:
        show(found, console)
