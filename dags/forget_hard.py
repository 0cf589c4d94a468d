"""
### Forget for good
Removes memories from every layer: the log, all that was computed of them, the published tables, logs and backups. What
stays is a receipt with the id, the time, who asked, and the reason. The same as `biomem forget --hard`.

Ordinary forgetting happens by itself every night, and deletes nothing; this is for privacy, not for tidiness.

**Danger:** cannot be undone. The source's own row stays until you delete it there, and is not pulled again. Windows
wait while it works and are made up for.

**Example** (trigger with config):
```json
{"ids": ["m-17"], "reason": "erasure request, ticket 123", "with_repeats": false, "skip_vacuum": false}
```
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from biomem_airflow.dag_defaults import START_DATE, owner_links, task_defaults
from biomem_airflow.forms import forget_params
from biomem_airflow.operators.forget_hard import ForgetHardOperator

with DAG(
    "forget_hard",
    dag_display_name="Forget memories for good",
    schedule=None,
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    params=forget_params(),
    default_args=task_defaults(priority=1, timeout=timedelta(hours=1)),
    doc_md=__doc__,
    tags=["memory", "by hand", "privacy"],
    owner_links=owner_links(),
):
    ForgetHardOperator(task_id="forget")
