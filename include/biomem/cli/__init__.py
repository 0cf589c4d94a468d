"""The command `biomem`: one Typer application, put together from the modules beside this one.

Commands that need Airflow live in `biomem_airflow.cli` and join through the entry point group `biomem.commands`, so
that `biomem` itself never imports Airflow.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path  # noqa: TC003  (Typer reads annotations at run time)
from pkgutil import iter_modules
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from biomem import __version__
from biomem.cli.state import State, err_console
from biomem.errors import BiomemError

HOME_HELP = "Folder that holds the state; BIOMEM_HOME by default, else var/."
AREAS = sorted(module.name for module in iter_modules(__path__) if module.name != "state")

app = typer.Typer(
    name="biomem",
    help="Keeps an agent's memories in shape the way a brain does: attend, replay, consolidate, forget, and say why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"biomem {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option("--home", help=HOME_HELP),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    ctx.obj = State(home=home)


def _remember_home(ctx: typer.Context, value: Path | None) -> None:
    if value is not None:
        ctx.find_root().obj.home = value


def _home_only(
    home: Annotated[
        Path | None, typer.Option("--home", help=HOME_HELP, callback=_remember_home, expose_value=False)
    ] = None,
) -> None:
    """Carry the option that `_accept_home_everywhere` lends to every command."""


def _accept_home_everywhere(group: TyperGroup, option: Any) -> None:
    """Let `--home` stand after a command too, which is where people type it."""
    for command in group.commands.values():
        if isinstance(command, TyperGroup):
            _accept_home_everywhere(command, option)
        elif not any("--home" in param.opts for param in command.params):
            command.params.append(option)


def build() -> TyperGroup:
    """The whole command, with every area and every installed extension."""
    for area in AREAS:
        import_module(f"biomem.cli.{area}").register(app)
    for extension in sorted(entry_points(group="biomem.commands"), key=lambda point: point.name):
        extension.load()(app)
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    lender = typer.Typer(add_completion=False)
    lender.command()(_home_only)
    _accept_home_everywhere(command, typer.main.get_command(lender).params[0])
    return command


def main() -> None:
    """Run the command; an error made for people is shown as one, without a stack trace."""
    try:
        build()(prog_name="biomem")
    except BiomemError as error:
        err_console.print(f"biomem: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        # the reader of a pipe (head, less) has left: that is no fault of ours, and Python must not flush into it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
