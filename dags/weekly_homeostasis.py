"""
### Weekly homeostasis
On Sundays, an hour after the nightly decay (03:00 UTC by default): scales the associations back so that the strong ones
keep standing out, prunes what became too weak, and draws the semantic network anew: communities of concepts and the
gist of each.

**Danger:** pruned associations leave the published network. They come back when the memories are held in mind together
again; the ledger says what was pruned and by which numbers. Safe to run again: it changes nothing the second time.

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

STAGE = "weekly_homeostasis"

with DAG(
    STAGE,
    dag_display_name="Weekly homeostasis",
    schedule=night_schedule(hours_later=1, weekday="0"),
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    # one slot is left for a window
    max_active_tasks=1,
    params=stage_params(),
    default_args=task_defaults(priority=1, first_try=FIRST_TRY),
    doc_md=__doc__,
    tags=["memory", "sleep", "semantic"],
    owner_links=owner_links(),
):
    begin = BeginStageOperator(task_id="begin", stage=STAGE)
    publish = DuckDBToPostgresOperator(
        task_id="publish", stage=STAGE, trigger_rule=UNLESS_FAILED, outlets=[Asset("memory/semantic_network")]
    )

    memory_stage(STAGE, begin=begin, publish=publish)
