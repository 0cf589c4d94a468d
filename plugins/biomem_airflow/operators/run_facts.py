"""What an operator takes from its run: templated texts turned back into values, and the data interval for the log."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from biomem.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context


def as_instant(text: str) -> datetime:
    """`text` (ISO 8601, UTC when it names no offset) as an instant. Raises ConfigurationError when it is none."""
    try:
        instant = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigurationError(f"as_of {text!r} is no instant; write it as 2026-05-31T20:30:00Z") from error
    return instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)


def as_flag(value: str | bool) -> bool:
    """A templated truth value: Jinja hands over the text of True or False."""
    if isinstance(value, bool):
        return value
    if value.strip().lower() not in ("true", "false"):
        raise ConfigurationError(f"{value!r} is neither True nor False")
    return value.strip().lower() == "true"


def describe_interval(context: Context) -> str:
    """The run's data interval, for the log."""
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    return f"data interval {start} to {end}" if end else "no data interval (triggered by hand)"


def is_under_way(context: Context, stage: str) -> bool:
    """Whether a run of the stage's DAG is at work, as Airflow knows it."""
    return bool(context["ti"].get_dr_count(dag_id=stage, states=["running"]) > 0)
