"""`biomem recall`: what a question brings back, one by one or a file of them; `biomem embed`: vectors, now."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from enum import Enum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from biomem.cli.state import console, err_console, parse_as_of, settings
from biomem.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from biomem.recall.asking import Asker, Recalled
    from biomem.settings import Settings

SHOWN_AGENTS = 10


class Forgotten(str, Enum):
    """What becomes of forgotten memories."""

    cued = "cued"
    all = "all"
    none = "none"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(recall)
    app.command()(embed)


def recall(
    ctx: typer.Context,
    question: Annotated[
        str | None, typer.Argument(help="What to remember, in plain words.", show_default=False)
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Whose memories; may be left out with one agent.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=0, max=10_000, help="How many at most.")] = 10,
    as_of: Annotated[
        str | None, typer.Option(help="Look from this instant (ISO 8601); one that is past is answered from a rebuild.")
    ] = None,
    forgotten: Annotated[
        Forgotten, typer.Option(help="cued: a strong question brings back what was forgotten; all: everything; none.")
    ] = Forgotten.cued,
    questions: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Many: question_id, agent_id, question a line; - is standard input."),
    ] = None,
    no_log: Annotated[bool, typer.Option("--no-log", help="Strengthen nothing: for measuring.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Recall memories by a question, best first, and strengthen what was recalled.

    With --questions FILE every line is answered by a line: question_id and memory_ids.
    """
    if (question is None) == (questions is None):
        raise ConfigurationError("ask a question, or name a file of them with --questions: one of the two")
    here, instant = settings(ctx), parse_as_of(as_of)
    with _asker(here, instant) as (asker, is_past):
        log = not no_log and not is_past
        if questions is not None:
            _answer_all(asker, questions, k, instant, forgotten, log=log)
            return
        assert question is not None
        found = asker.recall(
            question, agent or _only_agent(asker), k, as_of=instant, forgotten=forgotten.value, log=log
        )
        _warn(asker)
    if as_json:
        typer.echo(json.dumps([one.as_dict() for one in found], indent=2, ensure_ascii=False))
    else:
        _print(found)


def embed(ctx: typer.Context) -> None:
    """Give every text that has no vector yet one, now; each window does so for at most 20 seconds."""
    from biomem.demo.postgres import connections
    from biomem.recall.embedding import embed_new

    here = settings(ctx)
    with connections(here) as there:
        console.print(embed_new(here, there.target_dsn, seconds=None).describe(), markup=False, highlight=False)


@contextmanager
def _asker(here: Settings, as_of: datetime | None) -> Iterator[tuple[Asker, bool]]:
    """Who asks, and whether it asks the past."""
    from contextlib import ExitStack

    from biomem.demo.postgres import connections
    from biomem.recall.asking import Asker
    from biomem.recall.past import is_past, memory_as_of
    from biomem.source.dsn import connect

    with ExitStack() as stack:
        behind = as_of is not None and is_past(here, as_of)
        if as_of is not None and behind:
            dsn = stack.enter_context(memory_as_of(here, as_of, report=err_console.print))
        else:
            dsn = stack.enter_context(connections(here)).target_dsn
        pg = stack.enter_context(connect(dsn, autocommit=True))
        yield Asker(pg, here), behind


def _answer_all(asker: Asker, file: Path, k: int, as_of: datetime | None, forgotten: Forgotten, *, log: bool) -> None:
    from biomem.recall.questions import BadLine, read_questions

    bad = 0
    try:
        lines = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    with lines:
        for line in read_questions(lines):
            if isinstance(line, BadLine):
                bad += 1
                err_console.print(f"line {line.number}: {line.reason}", markup=False, highlight=False, soft_wrap=True)
                continue
            found = asker.recall(line.question, line.agent_id, k, as_of=as_of, forgotten=forgotten.value, log=log)
            answer = {"question_id": line.question_id, "memory_ids": [one.memory_id for one in found]}
            typer.echo(json.dumps(answer, ensure_ascii=False))
    _warn(asker)
    if bad:
        raise InputError(f"{file}: {bad} line(s) hold no question and were not answered; each is named above")


def _only_agent(asker: Asker) -> str:
    agents = asker.agents()
    if len(agents) != 1:
        shown = ", ".join(agents[:SHOWN_AGENTS]) + (", ..." if len(agents) > SHOWN_AGENTS else "")
        raise ConfigurationError(
            f"whose memories? name one of the agents with --agent: {shown}"
            if agents
            else "there are no memories yet; `biomem run short_term_memory` publishes them"
        )
    return agents[0]


def _warn(asker: Asker) -> None:
    if asker.warning:
        err_console.print(asker.warning, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _print(found: list[Recalled]) -> None:
    for one in found:
        mark = " (forgotten)" if one.parts.get("state") == "forgotten" else ""
        console.print(
            f"{one.score:.3f}  {one.occurred_at:%Y-%m-%d %H:%M}  {one.memory_id}{mark}",
            style="bold",
            markup=False,
            highlight=False,
        )
        console.print(f"       {one.content}", markup=False, highlight=False, soft_wrap=True)
        parts = ", ".join(f"{name} {value:.3f}" for name, value in one.parts.items() if name != "state" and value)
        console.print(f"       = {parts}", style="dim", markup=False, highlight=False)
    if not found:
        console.print("nothing comes back")
