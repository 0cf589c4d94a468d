"""
### Housekeeping
Two hours after the nightly decay: prunes what 2,880 runs a day leave behind (Airflow's history, task logs, the list of
publications) to the last days, and brings the warehouse's file to what its tables need: it is written anew where a
third of it is free.

**Danger:** none to memories: neither the log nor the models are pruned. Runs older than the days that are kept can no
longer be looked at in Airflow.

**Example** (trigger with config):
```json
{"keep_days": 7}
```
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param
from biomem_airflow.dag_defaults import START_DATE, night_schedule, owner_links, task_defaults
from biomem_airflow.operators.compact_warehouse import CompactWarehouseOperator
from biomem_airflow.operators.prune_history import PruneHistoryOperator

with DAG(
    "housekeeping",
    dag_display_name="Housekeeping",
    schedule=night_schedule(hours_later=2),
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    params={
        "keep_days": Param(
            7,
            type="integer",
            minimum=1,
            title="Days that are kept",
            description="Airflow's runs, task logs and publications older than this are deleted. Memories are not.",
        )
    },
    default_args=task_defaults(priority=1, timeout=timedelta(minutes=15)),
    doc_md=__doc__,
    tags=["memory", "housekeeping"],
    owner_links=owner_links(),
):
    # speaks to no warehouse, so it takes nobody's slot
    prune = PruneHistoryOperator(task_id="prune_history", keep_days="{{ params.keep_days }}", pool="default_pool")
    compact = CompactWarehouseOperator(task_id="compact_warehouse")

    prune >> compact
