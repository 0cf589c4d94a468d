"""
### Short-term memory
Every 30 seconds: takes what was written to the source since the last window, folds it into each memory's trace, closes
the windows that have ended, and publishes what is in working memory now. A source with `wake_up` starts a window as
soon as something is committed to it; what it does not tell of, the next 30 seconds bring.

One pull per source of `source.yml`. A source that is down is tried twice more within seconds; then the window goes on
with the others, the run is marked as failed by `all_pulled`, and the next window's pull makes up for it. When none can
be pulled, the window ends there.

**Danger:** none to the source, which is only read. Any window may be run again, any number of times: a second run
changes nothing. Windows that were missed are made up for by the next one. A window that is not published a minute after
it was due is told of (`BIOMEM_ALERTS`).

**Example** (trigger with config):
```json
{"as_of": "2026-05-31T20:30:00Z", "agent_id": "ada", "full_refresh": false}
```
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset
from biomem_airflow.alerts import deadline
from biomem_airflow.dag_defaults import (
    PULL_RETRIES,
    START_DATE,
    UNLESS_FAILED,
    owner_links,
    pulls,
    stage_params,
    task_defaults,
    window_schedule,
)
from biomem_airflow.hanging import FIRST_TRY
from biomem_airflow.operators.begin_stage import BeginStageOperator
from biomem_airflow.operators.duckdb_to_postgres import DuckDBToPostgresOperator
from biomem_airflow.operators.postgres_to_duckdb import PostgresToDuckDBOperator
from biomem_airflow.stages import memory_stage

STAGE = "short_term_memory"
WINDOW = timedelta(seconds=30)

with DAG(
    STAGE,
    dag_display_name="Short-term memory: every 30 seconds",
    schedule=window_schedule(WINDOW),
    deadline=deadline(WINDOW),
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    params=stage_params(),
    default_args=task_defaults(priority=100, timeout=timedelta(minutes=10), first_try=FIRST_TRY),
    doc_md=__doc__,
    tags=["memory", "short-term"],
    owner_links=owner_links(),
):
    pull = PostgresToDuckDBOperator.partial(
        task_id="pull_memories",
        map_index_template="{{ task.source_name }}",
        outlets=[Asset("memory/raw")],
        **PULL_RETRIES,
    ).expand_kwargs(pulls())
    # nothing runs for it: it is what fails the run when a pull has failed
    all_pulled = EmptyOperator(task_id="all_pulled")
    begin = BeginStageOperator(task_id="begin", stage=STAGE, trigger_rule="all_done_min_one_success")
    publish = DuckDBToPostgresOperator(
        task_id="publish", stage=STAGE, trigger_rule=UNLESS_FAILED, outlets=[Asset("memory/short_term")]
    )

    pull >> all_pulled
    pull >> begin
    memory_stage(STAGE, begin=begin, publish=publish)
