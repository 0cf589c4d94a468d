"""`biomem source`: draft how a table is read (map), examine it (doctor), and pull it once (pull)."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from biomem.cli.state import console, err_console, parse_as_of, settings
from biomem.errors import ConfigurationError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from biomem.source.doctor import Examination
    from biomem.source.draft import Draft
    from biomem.source.progress import Progress

source_app = typer.Typer(help="Look at and pull the source tables.", no_args_is_help=True)


INDENT = 20
STYLES = {"ok": "green", "warn": "yellow", "fix": "bold red"}


class Preset(str, Enum):
    """The memory systems whose tables are known; generic goes by names and types."""

    codex = "codex"
    mem0 = "mem0"
    generic = "generic"


class Kind(str, Enum):
    """What a source holds."""

    memories = "memories"
    access_log = "access_log"


def register(app: typer.Typer) -> None:
    app.add_typer(source_app, name="source")


@source_app.callback()
def _source() -> None:
    """Look at and pull the source tables."""


@source_app.command("map")
def map_table(
    ctx: typer.Context,
    table: Annotated[
        str | None, typer.Option("--table", help="schema.table; BIOMEM_SOURCE_TABLE or public.memories by default.")
    ] = None,
    preset: Annotated[
        Preset | None, typer.Option("--preset", help="Whose table it is; its columns tell by default.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the source; schema.table by default.")] = None,
    kind: Annotated[Kind, typer.Option("--kind", help="What the table holds.")] = Kind.memories,
    print_only: Annotated[bool, typer.Option("--print", help="Print the entry, write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the source of that name.")] = False,
) -> None:
    """Look at a table and draft how it is read, into source.yml.

    Reads the catalog and a sample, changes nothing in the source. Other sources in the file and their comments stay.
    """
    from biomem.demo.postgres import connections
    from biomem.source.draft import draft_source
    from biomem.source.mapping import split_table
    from biomem.source.mapping_file import write_entry

    options = settings(ctx)
    schema, bare = split_table(table or options.source_table)
    with connections(options) as there:
        draft = draft_source(
            there.source_dsn,
            schema,
            bare,
            name=name or f"{schema}.{bare}",
            kind=kind.value,
            preset=preset.value if preset else None,
        )
    if print_only or draft.missing:
        typer.echo(f"sources:\n{draft.entry()}", nl=False)
    if draft.missing:
        raise SourceError(
            f"{draft.source.label} has no column that looks like {' or '.join(draft.missing)}, so nothing was written: "
            f"complete the entry above and put it into {options.mapping_path}"
        )
    if not print_only:
        _refuse_twice(options.mapping_path, draft)
        write_entry(options.mapping_path, draft.source.name, draft.entry(), may_replace=force)
        _say(f"source {draft.source.name!r} ({draft.preset}) is in {options.mapping_path}")
    _say_sample(draft, err_console if print_only or draft.unusable or draft.trouble else console)


def _refuse_twice(path: Path, draft: Draft) -> None:
    """The same rows under two names would be refused by the pull, so say it here."""
    from biomem.source.mapping import parse_sources

    if not path.exists():
        return
    for source in parse_sources(path.read_text(encoding="utf-8"), str(path)):
        if source.label == draft.source.label and source.name != draft.source.name:
            raise ConfigurationError(
                f"{path} reads {source.label} as source {source.name!r} already; to draft that one anew: "
                f"--name {source.name!r} --force"
            )


def _say_sample(draft: Draft, to: Console) -> None:
    unusable = ", ".join(f"{count:,} with {problem}" for problem, count in draft.unusable.items())
    taken = draft.sampled - sum(draft.unusable.values())
    line = f"of {draft.sampled:,} rows tried {taken:,} can be taken"
    if draft.trouble:
        line = f"the rows cannot be read like this ({draft.trouble}): `biomem source doctor` names the column"
    to.print(f"{line}; NOT {unusable}" if unusable else line, markup=False, highlight=False, soft_wrap=True)


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


@source_app.command()
def doctor(
    ctx: typer.Context,
    source: Annotated[str | None, typer.Option("--source", help="Only this source of source.yml.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Examine the sources as the pipeline's own user, and say what to mend.

    Changes nothing. Ends with 1 when something must be mended; warnings do not count.
    """
    from biomem.demo.postgres import connections
    from biomem.source.doctor import examine
    from biomem.source.mapping import choose_source

    options = settings(ctx)
    chosen = choose_source(options, source)
    with connections(options) as there:
        examinations = examine(there.source_dsn, chosen)
    is_healthy = all(examination.is_healthy for examination in examinations)
    if as_json:
        document = {"is_healthy": is_healthy, "examinations": [asdict(examination) for examination in examinations]}
        typer.echo(json.dumps(document, indent=2))
    else:
        for examination in examinations:
            print_examination(examination)
    if not is_healthy:
        raise typer.Exit(1)


def print_examination(examination: Examination) -> None:
    """A heading, then each finding on lines of its own, as wide as the terminal; a fix stays whole, to be copied."""
    from biomem.source.mapping_file import one_line

    named = examination.source and examination.place
    heading = f"{examination.source} ({examination.place})" if named else examination.source or examination.place
    console.print(Text(one_line(heading), style="bold"), soft_wrap=True)
    for finding in examination.findings:
        status = Text(f" {finding.status:<5}", style=STYLES[finding.status])
        lines = textwrap.wrap(one_line(finding.text), max(console.width - INDENT, 40)) or [""]
        console.print(status + Text(f"{finding.check:<{INDENT - 7}} ") + Text(lines[0]), soft_wrap=True)
        for line in lines[1:]:
            console.print(Text(" " * INDENT + line), soft_wrap=True)
        if finding.fix:
            console.print(Text(f"{' ' * INDENT}-> {one_line(finding.fix)}", style="cyan"), soft_wrap=True)
    console.print()


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
