"""What the four rhythms have in common: the pool, the form, the defaults of their tasks."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import Param

POOL = "duckdb_writer"

# Which instant a run computes: the form's, else the end of the run's window, else the moment it was due
# (a run started by hand without a date has no window, and then not even the name)
AS_OF = "{{ params.as_of or (data_interval_end if data_interval_end is defined else dag_run.run_after).isoformat() }}"
AGENT_ID = "{{ params.agent_id or '' }}"
FULL_REFRESH = "{{ params.full_refresh }}"

START_DATE = datetime(2026, 1, 1, tzinfo=timezone.utc)


def stage_params() -> dict[str, Param]:
    """Return the form that every stage shows when it is triggered by hand."""
    return {
        "as_of": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="As of",
            description="Compute the memory as it is at this instant (ISO 8601, e.g. 2026-05-31T20:30:00Z). "
            "Empty: the end of the run's window. An instant before what was computed already changes nothing.",
        ),
        "agent_id": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="Agent",
            description="Limit the run to the memories of this agent. Empty: all agents.",
        ),
        "full_refresh": Param(
            False,
            type="boolean",
            title="Full refresh",
            description="Compute everything again from the event log instead of only what is new. Slower, same result.",
        ),
    }


def task_defaults(priority: int) -> dict[str, Any]:
    """Return the defaults of a stage's tasks; the 30-second rhythm has the highest `priority` for the one slot."""
    return {
        "pool": POOL,
        "priority_weight": priority,
        "weight_rule": "absolute",
        "retries": 2,
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=30),
    }
