"""
### Backfill source
Reads a source table whole, or takes what is new and compares all keys. A big table is read in portions that are each
committed, so that a run that is cut short goes on where it was. The next window computes with what has come in.

**Danger:** none to the source, which is only read. Rows that are gone there become tombstones here, as with any pull.

**Example** (trigger with config):
```json
{"source": null, "full": true}
```
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset
from biomem_airflow.dag_defaults import START_DATE, owner_links, task_defaults
from biomem_airflow.forms import backfill_params
from biomem_airflow.operators.postgres_to_duckdb import PostgresToDuckDBOperator

with DAG(
    "backfill_source",
    dag_display_name="Read a source again",
    schedule=None,
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    params=backfill_params(),
    default_args=task_defaults(priority=1, timeout=timedelta(hours=1)),
    doc_md=__doc__,
    tags=["memory", "by hand", "sources"],
    owner_links=owner_links(),
):
    PostgresToDuckDBOperator(
        task_id="backfill",
        source_name="{{ params.source or '' }}",
        as_of="{{ dag_run.run_after.isoformat() }}",
        reconcile=True,
        is_full="{{ params.full }}",
        outlets=[Asset("memory/raw")],
    )
