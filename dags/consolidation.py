"""
### Consolidation
Every 90 minutes, the length of a sleep cycle: computes which memories were replayed in the cycles since the last run,
strengthens the associations of what was held in mind together, and takes into long-term memory what has been
replayed enough.

**Danger:** none. Cycles lie on a fixed grid and each is computed from the event log alone, so a missed run is made up
for by the next one and a second run changes nothing.

**Example** (trigger with config):
```json
{"as_of": "2026-05-31T20:30:00Z", "agent_id": null, "full_refresh": false}
```
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, DeltaDataIntervalTimetable
from biomem_airflow.dag_defaults import START_DATE, UNLESS_FAILED, owner_links, stage_params, task_defaults
from biomem_airflow.hanging import FIRST_TRY
from biomem_airflow.operators.begin_stage import BeginStageOperator
from biomem_airflow.operators.duckdb_to_postgres import DuckDBToPostgresOperator
from biomem_airflow.stages import memory_stage

STAGE = "consolidation"

with DAG(
    STAGE,
    dag_display_name="Consolidation: every sleep cycle",
    schedule=DeltaDataIntervalTimetable(timedelta(minutes=90)),
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    # one slot is left for a window
    max_active_tasks=1,
    params=stage_params(),
    default_args=task_defaults(priority=10, timeout=timedelta(minutes=15), first_try=FIRST_TRY),
    doc_md=__doc__,
    tags=["memory", "sleep", "long-term"],
    owner_links=owner_links(),
):
    begin = BeginStageOperator(task_id="begin", stage=STAGE)
    publish = DuckDBToPostgresOperator(
        task_id="publish", stage=STAGE, trigger_rule=UNLESS_FAILED, outlets=[Asset("memory/long_term")]
    )

    memory_stage(STAGE, begin=begin, publish=publish)
