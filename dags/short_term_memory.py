"""
### Short-term memory
Every 30 seconds: takes what was written to the source since the last window, folds it into each memory's trace, closes
the windows that have ended, and publishes what is in working memory now.

**Danger:** none to the source, which is only read. Any window may be run again, any number of times: a second run
changes nothing. Windows that were missed are made up for by the next one.

**Example** (trigger with config):
```json
{"as_of": "2026-05-31T20:30:00Z", "agent_id": "ada", "full_refresh": false}
```
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, DeltaDataIntervalTimetable
from biomem_airflow.dag_defaults import START_DATE, stage_params, task_defaults
from biomem_airflow.operators.begin_stage import BeginStageOperator
from biomem_airflow.operators.duckdb_to_postgres import DuckDBToPostgresOperator
from biomem_airflow.operators.postgres_to_duckdb import PostgresToDuckDBOperator
from biomem_airflow.stages import memory_stage

STAGE = "short_term_memory"

with DAG(
    STAGE,
    schedule=DeltaDataIntervalTimetable(timedelta(seconds=30)),
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    params=stage_params(),
    default_args=task_defaults(priority=100),
    doc_md=__doc__,
    tags=["memory", "short-term"],
):
    pull = PostgresToDuckDBOperator(task_id="pull_memories", outlets=[Asset("memory/raw")])
    begin = BeginStageOperator(task_id="begin", stage=STAGE)
    publish = DuckDBToPostgresOperator(task_id="publish", stage=STAGE, outlets=[Asset("memory/short_term")])

    pull >> begin >> memory_stage(STAGE) >> publish
