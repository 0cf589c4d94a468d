"""How the pipeline's runs went, from Airflow's own database."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.models import DagRun, TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import select

from biomem_airflow.dag_defaults import TESTS
from biomem_airflow.runs import MANUAL
from biomem_airflow.ui.views.clock import PERIODS_S

RUNS = 30
FAILED = 20
LOOK_BACK = timedelta(days=7)


def state(dag_id: str, run_id: str) -> dict[str, Any]:
    """`state` of a run as Airflow names it (queued, running, success, failed); null when there is no such run."""
    with create_session() as session:
        found = session.scalar(select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    return {"state": found}


def view() -> dict[str, Any]:
    """The last runs of each DAG with the seconds that they took, and the tasks that failed within a week."""
    with create_session() as session:
        runs = [
            {**row._mapping, "seconds": (row.end_date - row.start_date).total_seconds()}
            for dag_id in (*PERIODS_S, *MANUAL)
            for row in session.execute(
                select(DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.run_after, DagRun.start_date, DagRun.end_date)
                .where(DagRun.dag_id == dag_id, DagRun.start_date.is_not(None), DagRun.end_date.is_not(None))
                .order_by(DagRun.run_after.desc())
                .limit(RUNS)
            )
        ]
        failed = session.execute(
            select(
                TaskInstance.dag_id,
                TaskInstance.run_id,
                TaskInstance.task_id,
                TaskInstance.map_index,
                TaskInstance.try_number,
                TaskInstance.end_date,
            )
            .where(
                TaskInstance.dag_id.in_((*PERIODS_S, *MANUAL)),
                TaskInstance.state == "failed",
                TaskInstance.end_date > datetime.now(timezone.utc) - LOOK_BACK,
            )
            .order_by(TaskInstance.end_date.desc())
            .limit(FAILED)
        )
        return {
            "runs": runs,
            "failed": [{**row._mapping, "is_data_test": row.task_id == TESTS} for row in failed],
            "days": LOOK_BACK.days,
        }
