"""Trials in schema `memory`: what the page Memory shows, and what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from biomem.errors import ConfigurationError, PublishError
from biomem.source.dsn import connect, place, without_secrets
from biomem.warehouse.target_schema import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from biomem.whatif.trial import Trial

TABLES = ("what_if_memories", "what_ifs")
KEPT = 100
"""How many trials are kept, the newest ones."""


def save(dsn: str, run_id: str, trial: Trial, *, asked_by: str | None) -> None:
    """Write a trial into memory.what_ifs, in place of an earlier try of the same run.

    Raises PublishError, with the target as it was, when PostgreSQL refuses.
    """
    import psycopg
    from psycopg.types.json import Jsonb

    question = trial.question
    try:
        with connect(dsn) as pg:
            migrate(pg)
            for table in TABLES:
                pg.execute(f"delete from memory.{table} where run_id = %s".encode(), [run_id])
            pg.execute(
                "insert into memory.what_ifs (run_id, agent_id, as_of, since, params_hash, parameters, counts, "
                "differences, oracles, asked_by, seconds) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    run_id,
                    question.agent_id,
                    trial.as_of,
                    question.since,
                    trial.params_hash,
                    *(Jsonb(part) for part in (trial.parameters, trial.counts, trial.differences, trial.oracles)),
                    asked_by,
                    trial.seconds,
                ],
            )
            places: dict[str, int] = {}
            for one in trial.examples:
                places[one.difference] = places.get(one.difference, 0) + 1
                sides = (Jsonb(_plain(side)) for side in (one.now, one.then))
                pg.execute(
                    "insert into memory.what_if_memories values (%s, %s, %s, %s, %s, %s, %s)",
                    [run_id, one.difference, places[one.difference], one.memory_id, one.agent_id, *sides],
                )
            newest = "select run_id from memory.what_ifs order by computed_at desc, run_id limit %s"
            for table in TABLES:
                pg.execute(f"delete from memory.{table} where run_id not in ({newest})".encode(), [KEPT])
    except psycopg.Error as error:
        raise PublishError(
            f"the trial could not be written to {place(dsn)}: {without_secrets(str(error), dsn)}; nothing was changed"
        ) from None


def decide(
    dsn: str, run_id: str, decision: Literal["promoted", "rejected"], *, by: str, at: datetime
) -> dict[str, Any]:
    """Put down what was decided about a trial; returns the values that were tried, by parameter.

    Raises ConfigurationError when there is no such trial.
    """
    with connect(dsn) as pg:
        row = pg.execute(
            "update memory.what_ifs set decision = %s, decided_by = %s, decided_at = %s where run_id = %s "
            "returning parameters",
            [decision, by, at, run_id],
        ).fetchone()
    if row is None:
        raise ConfigurationError(f"there is no trial {run_id!r} in memory.what_ifs any more; run what_if again")
    return {name: sides["then"] for name, sides in row[0].items()}


def summary(trial: Trial) -> str:
    """What a person needs to decide, in Markdown."""
    about = f"agent `{trial.question.agent_id}`" if trial.question.agent_id else "all agents"
    changed = "\n".join(
        f"| `{name}` | {now} | {then} |"
        for parameter, sides in trial.parameters.items()
        for name, now, then in _changes(parameter, sides["now"], sides["then"])
    )
    counted = "\n".join(
        f"| {name.replace('_', ' ')} | {_number(sides['now'])} | {_number(sides['then'])} |"
        for name, sides in trial.counts.items()
    )
    fare = ", ".join(f"{count} {way.replace('_', ' ')}" for way, count in trial.differences.items() if count)
    missed = [one for one in trial.oracles if one["now"]["pass"] and not one["then"]["pass"]]
    oracles = (
        "Every bound against published human data is met, as now."
        if not missed
        else f"**{len(missed)} bound(s) against published human data would no longer be met:** "
        + "; ".join(
            f"{one['dataset']}, {one['measure']} ({one['then']['value']:.3g}, {one['bound']})" for one in missed
        )
    )
    return (
        f"Computed for {about} as of {trial.as_of:%Y-%m-%d %H:%M} UTC.\n\n"
        f"| parameter | now | then |\n|---|---|---|\n{changed}\n\n"
        f"| memories | now | then |\n|---|---|---|\n{counted}\n\n"
        f"Memories that fare differently: {fare or 'none'}.\n\n{oracles}\n"
    )


def _changes(name: str, now: Any, then: Any) -> Iterator[tuple[str, Any, Any]]:
    """What of a parameter is another: of a list only what differs, by its index."""
    if not isinstance(now, (list, tuple)) or len(now) != len(then):
        yield name, now, then
        return
    for index, (before, after) in enumerate(zip(now, then, strict=True)):
        if before != after:
            yield f"{name}[{index}]", before, after


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _number(value: float) -> str:
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
