"""
### Rebuild memory
Builds the models anew from the event log, publishes what has changed by it, and proves that the memory built bit by bit
is the same. For a memory as it was at an instant, after parameters were edited by hand, or when in doubt.

**Danger:** none to what was pulled; windows wait while it works and are made up for. With an **As of** that lies in the
past, agents see the memory as it was then until the next window has run.

**Example** (trigger with config):
```json
{"as_of": null, "layer": "all", "verify": true}
```
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset
from biomem_airflow.dag_defaults import START_DATE, owner_links, task_defaults
from biomem_airflow.forms import rebuild_params
from biomem_airflow.operators.rebuild_memory import RebuildMemoryOperator, VerifyMemoryOperator

with DAG(
    "rebuild_memory",
    dag_display_name="Rebuild the memory from its log",
    schedule=None,
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    params=rebuild_params(),
    default_args=task_defaults(priority=1, timeout=timedelta(hours=1)),
    doc_md=__doc__,
    tags=["memory", "by hand"],
    owner_links=owner_links(),
):
    rebuild = RebuildMemoryOperator(
        task_id="rebuild",
        as_of="{{ params.as_of or '' }}",
        layer="{{ params.layer }}",
        outlets=[Asset(f"memory/{name}") for name in ("short_term", "long_term", "retention", "semantic_network")],
    )
    verify = VerifyMemoryOperator(task_id="verify", is_wanted="{{ params.verify }}")

    rebuild >> verify
