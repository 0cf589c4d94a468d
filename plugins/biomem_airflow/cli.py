"""Commands that need Airflow; they join `biomem` through the entry point group `biomem.commands`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer
from biomem.cli.load import ID_HELP, SPLIT_HELP
from biomem.cli.source import print_examination
from biomem.cli.state import console, err_console, parse_as_of, settings
from biomem.errors import ConfigurationError

AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="T", help="Compute the memory as it is at this instant (ISO 8601). Default: now."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(demo)
    app.command()(run)
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(doctor)


def demo(
    ctx: typer.Context,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input", metavar="FILE", help="A .csv, .tsv or .jsonl file, plain or with .gz. Default: a sample life."
        ),
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help=ID_HELP)] = None,
    content: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with the text.")] = None,
    occurred_at: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with the time or the day.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with whose memory it is.")] = None,
    session: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with the conversation.")] = None,
    speaker: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with who said it.")] = None,
    split: Annotated[str, typer.Option(metavar="auto|sentences|none", help=SPLIT_HELP)] = "auto",
    port: Annotated[int | None, typer.Option("--port", help="Port of the UI. Default: 8080, or a free one.")] = None,
) -> None:
    """Take a whole life through the real pipeline: embedded PostgreSQL, Airflow, DuckDB, and a report at its end.

    The memories are looked back on from the end of their own time, not from today. Everything started is stopped.
    """
    from biomem.demo.load import load_options

    from biomem_airflow.demo import demo as run_demo

    columns = {
        "memory_id": id_,
        "content": content,
        "occurred_at": occurred_at,
        "agent_id": agent,
        "session_id": session,
        "speaker": speaker,
    }
    run_demo(settings(ctx), input_file, load_options(columns, split), port, console)


def run(
    ctx: typer.Context,
    dags: Annotated[
        list[str],
        typer.Argument(
            metavar="DAG...",
            help="short_term_memory, consolidation, nightly_decay, weekly_homeostasis: one or more, in that order; or "
            "what_if, rebuild_memory, backfill_source, forget_hard, housekeeping with --conf.",
        ),
    ],
    as_of: AsOf = None,
    agent_id: Annotated[str | None, typer.Option("--agent-id", help="Only the memories of this agent.")] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Compute everything again, not only what is new.")
    ] = False,
    conf: Annotated[
        str | None,
        typer.Option("--conf", metavar="JSON", help="The DAG's form as JSON; in place of the options above."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs and their tasks as JSON.")] = False,
) -> None:
    """Run one or more of the DAGs once, in this process, and take in everything up to the instant given.

    Where `biomem up` runs an Airflow for the same home, the runs go through that one.
    """
    from biomem_airflow.commands import run_dags

    form = {"as_of": as_of and parse_as_of(as_of).isoformat(), "agent_id": agent_id, "full_refresh": full_refresh}
    if conf is not None:
        if any(form.values()):
            raise ConfigurationError("--conf is the whole form: put as_of, agent_id and full_refresh into it")
        form = _form(conf)
    results = run_dags(settings(ctx), dags, form, err_console)
    if as_json:
        typer.echo(json.dumps({"runs": [result.as_dict() for result in results]}, indent=1))


def _form(text: str) -> dict[str, Any]:
    try:
        form = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f'--conf is no JSON ({error}); write it as \'{{"layer": "all"}}\'') from error
    if not isinstance(form, dict):
        raise ConfigurationError(f"--conf must be an object with the form's fields, got {text}")
    return form


def up(
    ctx: typer.Context,
    port: Annotated[int | None, typer.Option("--port", help="Port of the UI.", show_default="8080")] = None,
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


def doctor(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False
) -> None:
    """Name what is wrong with the running system and what to do; exits with 1 when something must be done.

    `biomem source doctor` looks at the source tables themselves.
    """
    from biomem_airflow.doctor import examine

    examinations = examine(settings(ctx))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in examinations], indent=1))
    else:
        for one in examinations:
            print_examination(one)
    if not all(one.is_healthy for one in examinations):
        raise typer.Exit(1)
