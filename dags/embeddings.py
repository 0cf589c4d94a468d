"""
### Embeddings
After each window that has published something: gives the texts that are new their vectors, newest first, for at most
20 seconds. A window does not wait for it, and it does not take the warehouse from anybody.

**Danger:** none. Until a memory has its vector, it is recalled by its words alone. A model that fails leaves it at
that, and the skipped task says why.

**Example** (trigger without config): work off 20 seconds' worth of texts now; `biomem embed` does all of them.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset
from biomem_airflow.dag_defaults import START_DATE, owner_links, task_defaults
from biomem_airflow.operators.embed_memories import EmbedMemoriesOperator

with DAG(
    "embeddings",
    dag_display_name="Embeddings: after each window",
    schedule=[Asset("memory/short_term")],
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(priority=1, timeout=timedelta(minutes=5)),
    doc_md=__doc__,
    tags=["memory", "recall"],
    owner_links=owner_links(),
):
    EmbedMemoriesOperator(task_id="embed", pool="default_pool")
