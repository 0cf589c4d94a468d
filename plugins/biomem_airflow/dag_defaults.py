"""What the four rhythms have in common: the pool, the form, the defaults of their tasks."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import (
    Asset,
    AssetOrTimeSchedule,
    AssetWatcher,
    CronTriggerTimetable,
    DeltaDataIntervalTimetable,
    Param,
)
from biomem.errors import BiomemError
from biomem.parameters import load_parameters
from biomem.settings import load_settings
from biomem.source.mapping import load_sources
from biomem.source.wake_up import channel

from biomem_airflow.hanging import end_when_hanging
from biomem_airflow.links import page
from biomem_airflow.triggers.source_written import SourceWrittenTrigger

POOL = "duckdb_writer"
OWNER = "memory"
# The task with a stage's data tests, and what runs although tasks before it were left out (see BeginStageOperator)
TESTS = "test"
UNLESS_FAILED = "none_failed_min_one_success"

# Which instant a run computes: the form's, else the end of the run's window, else the moment it was due (a run started
# by hand without a date has no window, and then not even the name). A run that a source woke computes what had come in
# when it started: it may have waited for the run before it.
_DUE_AT = (
    "(data_interval_end if data_interval_end is defined"
    " else dag_run.start_date if dag_run.run_type == 'asset_triggered' else dag_run.run_after).isoformat()"
)
DUE_AT = f"{{{{ {_DUE_AT} }}}}"
AS_OF = f"{{{{ params.as_of or {_DUE_AT} }}}}"
AGENT_ID = "{{ params.agent_id or '' }}"
FULL_REFRESH = "{{ params.full_refresh }}"

# A source that does not answer is asked again after these seconds, doubled; meanwhile the slot is free for others. Then
# the run goes on without it, and the next one makes up for it.
PULL_RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=2), "retry_exponential_backoff": 2}

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


def pulls() -> list[dict[str, Any]]:
    """Return the arguments of the pull of each source, for dynamic task mapping; the first one pulls the access log.

    A mapping that cannot be read does not take the DAG away: the pull then says what is wrong with it.
    """
    try:
        names: list[str | None] = [source.name for source in load_sources(load_settings())]
    except BiomemError:
        names = [None]
    return [{"source_name": name, "with_accesses": number == 0} for number, name in enumerate(names)]


def window_schedule(window: timedelta) -> AssetOrTimeSchedule | DeltaDataIntervalTimetable:
    """Return the schedule of the windows: by the clock, and besides as soon as a source that wakes is written.

    Airflow keeps one request for a run while another one works, however many notifications come.
    """
    by_clock = DeltaDataIntervalTimetable(window)
    try:
        channels = sorted({channel(source) for source in load_sources(load_settings()) if source.wake_up})
    except BiomemError:
        # the pull says what is wrong with the mapping
        channels = []
    if not channels:
        return by_clock
    watcher = AssetWatcher("source_written", SourceWrittenTrigger(conn_id="memory_source", channels=channels))
    return AssetOrTimeSchedule(timetable=by_clock, assets=[Asset("memory/source", watchers=[watcher])])


def owner_links() -> dict[str, str]:
    """Return where the name of the tasks' owner leads: to the page Memory, where Airflow knows its own address."""
    address = page()
    return {OWNER: address} if address.startswith("http") else {}


def night_schedule(*, hours_later: int = 0, weekday: str = "*") -> CronTriggerTimetable:
    """Return the schedule of what belongs to the night: `night_hour` in `night_time_zone`, as the models count nights.

    `weekday` as cron writes it. Where clocks change, each local day still has its one night. Parameters that cannot be
    read do not take the DAG away: its first task then says what is wrong with them.
    """
    try:
        parameters = load_parameters(load_settings())
        hour, zone = int(parameters["night_hour"].value), str(parameters["night_time_zone"].value)
    except BiomemError:
        hour, zone = 2, "UTC"
    return CronTriggerTimetable(f"0 {(hour + hours_later) % 24} * * {weekday}", timezone=zone)


def task_defaults(
    priority: int, *, timeout: timedelta = timedelta(minutes=30), first_try: timedelta | None = None
) -> dict[str, Any]:
    """Return the defaults of tasks that use the slot.

    The 30-second rhythm has the highest `priority` for it. A task that hangs is ended after `first_try`, and then
    tried by itself once more, for at most `timeout`; what is still missing then, the next run takes up.
    """
    return {
        "owner": OWNER,
        "pool": POOL,
        "priority_weight": priority,
        "weight_rule": "absolute",
        "retries": 1,
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timeout,
        "pre_execute": end_when_hanging(timeout, first_try),
    }
