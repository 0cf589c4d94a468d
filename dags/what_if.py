"""
### What if
Computes the whole memory a second time with other parameters, in copies, and compares: which memories would be kept,
forgotten, promoted or in mind differently, and how the model would then fare against published human data. The page
Memory shows the result under **What if**; `approve` then asks whether the parameters become the pipeline's.

Leave a field empty to keep its parameter as it is. To see what a slower decay does, set **Decay** to 0.11.

**Danger:** none before somebody approves; the windows go on meanwhile. An approval changes the parameters of this home
(`parameters.yml`, with who and when) and builds the memory anew with them. `biomem params --revert` and a
`rebuild_memory` take that back. Without an answer within a day nothing changes.

**Example** (trigger with config):
```json
{"decay": 0.11, "agent_id": "ada", "offer": false}
```
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from biomem_airflow.dag_defaults import START_DATE, owner_links, task_defaults
from biomem_airflow.forms import what_if_params
from biomem_airflow.operators.what_if import (
    OfferParametersOperator,
    PromoteParametersOperator,
    TakeCopiesOperator,
    TryParametersOperator,
)

with DAG(
    "what_if",
    dag_display_name="What if: try other parameters",
    schedule=None,
    start_date=START_DATE,
    catchup=False,
    # a run that waits for its approval keeps no other from being computed
    max_active_runs=4,
    params=what_if_params(),
    default_args=task_defaults(priority=1),
    doc_md=__doc__,
    tags=["memory", "by hand", "science"],
    owner_links=owner_links(),
):
    take_copies = TakeCopiesOperator(task_id="take_copies")
    # only in copies: the windows go on
    try_parameters = TryParametersOperator(
        task_id="try_parameters",
        as_of="{{ ti.xcom_pull(task_ids='take_copies') }}",
        pool="default_pool",
        retries=0,
        execution_timeout=timedelta(hours=1),
        max_active_tis_per_dag=1,
    )
    approve = OfferParametersOperator(
        task_id="approve",
        is_wanted="{{ params.offer }}",
        subject="Make these the parameters of the memory?",
        body="{{ ti.xcom_pull(task_ids='try_parameters') }}",
        defaults="Reject",
        response_timeout=timedelta(days=1),
        execution_timeout=None,
        pool="default_pool",
    )
    promote = PromoteParametersOperator(
        task_id="promote", approval_task_id="approve", execution_timeout=timedelta(hours=1)
    )

    take_copies >> try_parameters >> approve >> promote
