"""
### Nightly decay
Every night (`night_hour` in `night_time_zone`; 02:00 UTC by default): computes what each memory is worth tonight and
demotes what fell below the forgetting threshold; writes every decision with its arithmetic into the ledger.

**Danger:** a demoted memory leaves what agents see first. Nothing is deleted: the next access brings it back, and the
ledger says why it went. Safe to run again for any night: it changes nothing the second time.

**Example** (trigger with config):
```json
{"as_of": "2026-05-31T20:30:00Z", "agent_id": null, "full_refresh": false}
```
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset
from biomem_airflow.dag_defaults import (
    START_DATE,
    UNLESS_FAILED,
    night_schedule,
    owner_links,
    stage_params,
    task_defaults,
)
from biomem_airflow.hanging import FIRST_TRY
from biomem_airflow.operators.begin_stage import BeginStageOperator
from biomem_airflow.operators.duckdb_to_postgres import DuckDBToPostgresOperator
from biomem_airflow.stages import memory_stage

STAGE = "nightly_decay"

with DAG(
    STAGE,
    dag_display_name="Nightly decay",
    schedule=night_schedule(),
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    # one slot is left for a window
    max_active_tasks=1,
    params=stage_params(),
    default_args=task_defaults(priority=1, first_try=FIRST_TRY),
    doc_md=__doc__,
    tags=["memory", "sleep", "forgetting"],
    owner_links=owner_links(),
):
    begin = BeginStageOperator(task_id="begin", stage=STAGE)
    publish = DuckDBToPostgresOperator(
        task_id="publish", stage=STAGE, trigger_rule=UNLESS_FAILED, outlets=[Asset("memory/retention")]
    )

    memory_stage(STAGE, begin=begin, publish=publish)
