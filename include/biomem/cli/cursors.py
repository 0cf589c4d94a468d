"""`biomem source cursor` and `biomem source slot`: what a cursor needs in the source, shown, made and removed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from biomem.cli.source import source_app
from biomem.cli.state import console, settings
from biomem.errors import ConfigurationError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biomem.source.mapping import SourceTable

SourceName = Annotated[
    str | None, typer.Option("--source", help="Source of source.yml; may be left out when there is one.")
]
slot_app = typer.Typer(help="The replication slot of a source with `cursor: logical_slot`.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Join `biomem source`, which the module `source` registers."""
    source_app.add_typer(slot_app, name="slot")


@source_app.command()
def cursor(
    ctx: typer.Context,
    source: SourceName = None,
    print_ddl: Annotated[
        bool, typer.Option("--print-ddl", help="Print the SQL that the table's owner must run, and nothing else.")
    ] = False,
) -> None:
    """Check that the source has what its cursor needs; exit code 1 when it has not."""
    from biomem.source.cursors import xid8_column
    from biomem.source.mapping import LOGICAL_SLOT, XID8_COLUMN

    with chosen_source(ctx, source) as (chosen, dsn):
        if chosen.cursor == XID8_COLUMN:
            if print_ddl:
                typer.echo(xid8_column.ddl(chosen), nl=False)
                return
            missing = xid8_column.check(chosen, dsn)
            if missing:
                raise SourceError(
                    f"cursor xid8_column of source {chosen.name!r} lacks {'; '.join(missing)}. "
                    f"`biomem source cursor --source {chosen.name} --print-ddl` prints the SQL for the table's owner"
                )
        elif chosen.cursor == LOGICAL_SLOT:
            _check_slot(chosen, dsn, print_ddl)
            if print_ddl:
                return
        elif print_ddl:
            typer.echo("-- cursor xmin_window needs nothing in the source")
            return
        _print(f"{chosen.name}: cursor {chosen.cursor} has what it needs")


@slot_app.command("create")
def slot_create(
    ctx: typer.Context,
    source: SourceName = None,
    unbounded: Annotated[
        bool, typer.Option("--unbounded", help="Also on a server that would keep its log for the slot without limit.")
    ] = False,
) -> None:
    """Make the slot and its publication. From now on the server keeps what the next pull has not read."""
    from biomem.source.cursors.slots import create_slot
    from biomem.source.reading import describe_source

    with chosen_source(ctx, source) as (chosen, dsn):
        _print(create_slot(describe_source(_slotted(chosen), dsn), dsn, unbounded=unbounded).describe())


@slot_app.command("status")
def slot_status(ctx: typer.Context, source: SourceName = None) -> None:
    """How much of its log the server keeps for the slot."""
    from biomem.source.cursors.slots import slot_name, slot_state

    with chosen_source(ctx, source) as (chosen, dsn):
        state = slot_state(_slotted(chosen), dsn)
        if state is None:
            raise SourceError(
                f"there is no replication slot {slot_name(chosen)!r}; `biomem source slot create` makes it"
            )
        _print(state.describe())


@slot_app.command("drop")
def slot_drop(ctx: typer.Context, source: SourceName = None) -> None:
    """Remove the slot and its publication, so that the server keeps nothing any more."""
    from biomem.source.cursors.slots import drop_slot, slot_name

    with chosen_source(ctx, source) as (chosen, dsn):
        gone = drop_slot(chosen, dsn)
        _print(f"slot {slot_name(chosen)}: {'dropped' if gone else 'there was none'}")


@contextmanager
def chosen_source(ctx: typer.Context, name: str | None) -> Iterator[tuple[SourceTable, str]]:
    """The source of that name, or the only one, and where it lies."""
    from biomem.demo.postgres import connections
    from biomem.source.mapping import choose_source

    options = settings(ctx)
    sources = choose_source(options, name)
    if len(sources) > 1:
        raise ConfigurationError(f"say which with --source: {', '.join(source.name for source in sources)}")
    with connections(options) as there:
        yield sources[0], there.source_dsn


def _slotted(source: SourceTable) -> SourceTable:
    from biomem.source.mapping import LOGICAL_SLOT

    if source.cursor != LOGICAL_SLOT:
        raise ConfigurationError(
            f"source {source.name!r} has cursor {source.cursor}: write `cursor: {LOGICAL_SLOT}` in source.yml first"
        )
    return source


def _check_slot(source: SourceTable, dsn: str, print_ddl: bool) -> None:
    from biomem.source.cursors.slots import renew_if_lost, slot_sql
    from biomem.source.reading import describe_source

    reading = describe_source(source, dsn)
    if print_ddl:
        typer.echo(";\n".join(slot_sql(reading)) + ";")
        return
    renew_if_lost(reading, dsn)


def _print(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
