"""`biomem roles`: who may read whose memories in schema `memory`, and log accesses to them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from biomem.cli.state import console, err_console, settings
from biomem.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

roles_app = typer.Typer(help="Say who may read whose memories in schema memory.", no_args_is_help=True)

Role = Annotated[str, typer.Argument(metavar="ROLE", help="A role of the PostgreSQL server.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(roles_app, name="roles")


@roles_app.command()
def grant(
    ctx: typer.Context,
    role: Role,
    agent: Annotated[list[str], typer.Option("--agent", help="An agent, or '*' for all; may be repeated.")],
    read_only: Annotated[bool, typer.Option("--read-only", help="Without the right to log accesses.")] = False,
) -> None:
    """Let a role read the memories of agents, and log accesses to them; harmless to repeat."""
    from biomem.warehouse import roles

    with _target(ctx) as pg:
        left = roles.grant(pg, role, agent, may_log=not read_only)
    console.print(f"{role} sees the memories of {', '.join(agent)}", markup=False, highlight=False)
    if left:
        err_console.print("this connection may not grant roles; an administrator has to run:", highlight=False)
        for statement in left:
            typer.echo(f"{statement};")


@roles_app.command()
def revoke(
    ctx: typer.Context,
    role: Role,
    agent: Annotated[list[str] | None, typer.Option("--agent", help="Only this agent; may be repeated.")] = None,
) -> None:
    """Take agents back from a role; all of them when none is named."""
    from biomem.warehouse import roles

    with _target(ctx) as pg:
        taken = roles.revoke(pg, role, agent or [])
    console.print(f"{role} sees {taken} agent(s) less", markup=False, highlight=False)


@roles_app.command("list")
def list_grants(ctx: typer.Context) -> None:
    """Show every grant, and whether the role is a member of the reading and the writing role by now."""
    from biomem.warehouse import roles

    with _target(ctx) as pg:
        rows = roles.granted(pg)
    table = Table("role", "agent", "reads", "logs accesses", box=None)
    for role, agent_id, reads, writes in rows:
        table.add_row(role, agent_id, "yes" if reads else "no", "yes" if writes else "no")
    console.print(table if rows else "no role was granted any agent yet: biomem roles grant ROLE --agent AGENT")


@roles_app.command("sql")
def print_sql(ctx: typer.Context) -> None:
    """Print what an administrator has to run where the pipeline's own role may not make roles."""
    from biomem.warehouse import roles

    with _target(ctx) as pg:
        for statement in roles.setup_sql(pg):
            typer.echo(f"{statement};")


@contextmanager
def _target(ctx: typer.Context) -> Iterator[psycopg.Connection[Any]]:
    """The target, with schema `memory` as this release has it."""
    import psycopg

    from biomem.demo.postgres import connections
    from biomem.source.dsn import connect, place, without_secrets
    from biomem.warehouse.target_schema import migrate

    with connections(settings(ctx)) as there, connect(there.target_dsn) as pg:
        try:
            migrate(pg)
            yield pg
            pg.commit()
        except psycopg.Error as error:
            raise PublishError(
                f"{place(there.target_dsn)} refused, nothing was changed: "
                f"{without_secrets(str(error), there.target_dsn)}; connect as the role that owns schema memory"
            ) from None
