"""Commands about the model itself: its parameters, how it fares against published data, and its forgetting curves."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated, Any

import typer
from rich.table import Table

from biomem.cli.state import console, settings
from biomem.errors import ConfigurationError

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


def params(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Print every parameter of the model: value, unit, allowed range, meaning, source, science or engineering."""
    from biomem.parameters import load_parameters

    parameters = load_parameters(settings(ctx)).values()
    if as_json:
        _print_json([{**vars(parameter), "allowed": parameter.allowed} for parameter in parameters])
        return
    table = Table(
        "parameter", "value", "allowed", "meaning", "source", "basis", title="Parameters", title_justify="left"
    )
    for parameter in parameters:
        value = json.dumps(parameter.value)
        table.add_row(
            *(parameter.name, value, parameter.allowed, parameter.meaning, parameter.source, parameter.basis),
            style=None if parameter.basis == "science" else "dim",
        )
    console.print(table)


def oracles(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Hold the shipped model against published human data; exit 1 unless every bound is met."""
    from biomem.oracles.report import run_oracles

    results = run_oracles(settings(ctx))
    failed = [result for result in results if not result.passed]
    if as_json:
        _print_json([result.as_dict() for result in results])
    else:
        table = Table("data", "measure", "value", "bound", "", "n", "fit", "R²", "RMSE", "macros", title_justify="left")
        for result in results:
            table.add_row(
                result.subject.dataset,
                result.measure,
                f"{result.value:.3g}",
                result.bound,
                "pass" if result.passed else "FAIL",
                str(result.n),
                "in-sample" if result.subject.in_sample else "no refit",
                _figure(result.r2),
                _figure(result.rmse),
                ", ".join(result.subject.macros),
                style=None if result.passed else "red",
            )
        console.print(table)
        console.print(f"{len(results) - len(failed)} of {len(results)} bounds met")
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


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
