"""Commands about the model itself: its parameters, how it fares against published data, and its forgetting curves."""

from __future__ import annotations

import getpass
import json
from datetime import datetime, timezone
from enum import Enum
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from biomem.cli.state import console, settings
from biomem.errors import ConfigurationError
from biomem.overrides import read_overrides

if TYPE_CHECKING:
    from biomem.oracles.result import Oracle, Subject
    from biomem.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class Profile(str, Enum):
    """The forgetting curves one can ask for."""

    fsrs = "fsrs"
    ebbinghaus = "ebbinghaus"
    short_term = "short_term"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(params)
    app.command()(oracles)
    app.command()(curve)


def params(
    ctx: typer.Context,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Give a parameter another value in this home (JSON)."),
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; recorded with the change.")] = None,
    should_revert: Annotated[bool, typer.Option("--revert", help="Take the last recorded change back.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Print every change that is on record.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print every parameter of the model: value, unit, allowed range, meaning, source, science or engineering.

    --set and --revert change them for this home: each stage's next run builds it anew, `biomem rebuild` all at once.
    """
    from biomem.overrides import read_changes
    from biomem.parameters import load_parameters

    here = settings(ctx)
    if set_ or should_revert:
        _change(here, set_ or [], reason, should_revert)
        return
    if history:
        changes = read_changes(here)
        if as_json:
            _print_json([{**vars(one), "at": one.at.isoformat()} for one in changes])
            return
        for one in changes:
            line = f"{one.at:%Y-%m-%d %H:%M} UTC  {one.by}: {json.dumps(dict(one.parameters))}  {one.reason}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        return
    own = read_overrides(here)
    parameters = load_parameters(here).values()
    if as_json:
        _print_json([{**vars(one), "allowed": one.allowed, "is_own": one.name in own} for one in parameters])
        return
    for parameter in parameters:
        mine = "  (set by this home)" if parameter.name in own else ""
        console.print(f"[bold]{parameter.name}[/bold] = {escape(json.dumps(parameter.value))}{mine}", highlight=False)
        about = f"{parameter.allowed}; {parameter.basis}: {parameter.source}"
        for line in (parameter.meaning, about):
            console.print(Padding(Text(line, style="dim" if line is about else ""), (0, 0, 0, 4)), highlight=False)


def _change(here: Settings, pairs: list[str], reason: str | None, should_revert: bool) -> None:
    from biomem.parameters import adopt, revert

    if pairs and should_revert:
        raise ConfigurationError("--set and --revert exclude each other: give one of the two")
    # when and who is a fact about the change, and part of no computation
    at, by = datetime.now(timezone.utc), getpass.getuser()
    if should_revert:
        own = revert(here, at=at, by=by)
    else:
        adopt(here, dict(map(_pair, pairs)), at=at, by=by, reason=reason or "biomem params --set")
        own = read_overrides(here)
    console.print(f"{here.parameters_path}: {json.dumps(own)}", markup=False, highlight=False, soft_wrap=True)
    console.print("each stage is built anew with them by its next run; `biomem rebuild` does all of them now")


def _pair(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigurationError(f"--set {text!r}: write it as NAME=VALUE, say --set forgetting_threshold=0.5")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value  # a name such as UTC or cowan


def oracles(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Hold the shipped model against published human data; exit 1 unless every bound is met."""
    from biomem.oracles.report import run_oracles

    results = run_oracles(settings(ctx))
    failed = [result for result in results if not result.passed]
    if as_json:
        _print_json([result.as_dict() for result in results])
    else:
        for subject, measured in groupby(results, key=lambda result: result.subject):
            _print_subject(subject, list(measured))
        console.print(f"{len(results) - len(failed)} of {len(results)} bounds met", highlight=False)
    if failed:
        raise typer.Exit(1)


def curve(
    ctx: typer.Context,
    seconds: Annotated[str, typer.Option("--seconds", help="Delays in seconds, separated by commas: 60,3600,86400.")],
    profile: Annotated[Profile, typer.Option("--profile", help="Which forgetting curve.")] = Profile.fsrs,
    stability_days: Annotated[
        float | None,
        typer.Option("--stability-days", help="Stability of profile fsrs; that of a first 'good' encoding by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict how much is retained after any delays."""
    from biomem.oracles.curves import predict_retention

    delays = _delays(seconds)
    if stability_days is not None and not 0 < stability_days < float("inf"):
        raise ConfigurationError(f"--stability-days must be a positive number of days, got {stability_days}")
    retained = predict_retention(settings(ctx), profile.value, delays, stability_days)
    if as_json:
        _print_json({"profile": profile.value, "seconds": delays, "retention": retained})
        return
    table = Table("after", "seconds", "retention", title=f"Forgetting curve {profile.value}", title_justify="left")
    for delay, value in zip(delays, retained, strict=True):
        table.add_row(_duration(delay), f"{delay:g}", f"{value:.4f}")
    console.print(table)


def _print_subject(subject: Subject, measured: list[Oracle]) -> None:
    """One data set: what it was held against, each measure with its bound, and where the model is wrong."""
    fit = "in-sample" if subject.in_sample else "no refit"
    errors = [f"{name} {value:.3f}" for name, value in (("R²", measured[0].r2), ("RMSE", measured[0].rmse)) if value]
    about = ", ".join([f"n {measured[0].n}", fit, *errors])
    console.print(f"[bold]{escape(subject.dataset)}[/bold]  {about}", highlight=False)
    table = Table.grid(padding=(0, 2))
    for width in (4, 46, 8, 10):
        table.add_column(width=width)
    for result in measured:
        style = None if result.passed else "red"
        verdict = "pass" if result.passed else "FAIL"
        table.add_row(verdict, result.measure, f"{result.value:.3g}", result.bound, style=style)
    console.print(Padding(table, (0, 0, 0, 2)))
    notes = [f"{subject.model}: {', '.join(subject.macros)}", *([f"but: {subject.note}"] if subject.note else [])]
    for note in notes:
        console.print(Padding(Text(note, style="dim"), (0, 0, 0, 8)))


def _delays(text: str) -> list[float]:
    try:
        delays = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigurationError(f"--seconds {text!r} is no list of numbers; write it as 60,3600,86400") from error
    if bad := [delay for delay in delays if not 0 <= delay < float("inf")]:
        raise ConfigurationError(f"--seconds must not hold {bad[0]:g}: a delay is a finite number of at least 0")
    return delays


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:g} s"


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
