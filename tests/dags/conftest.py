from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from biomem.settings import load_settings
from biomem.warehouse.context import STAGES

if TYPE_CHECKING:
    from airflow.sdk import DAG


@pytest.fixture(scope="session")
def manifest() -> dict[str, Any]:
    path = load_settings().manifest_path
    assert path.exists(), f"{path} is missing; `make setup` makes it"
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def all_dags(manifest: dict[str, Any]) -> dict[str, DAG]:
    from airflow.dag_processing.dagbag import DagBag

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API__BASE_URL", "http://localhost:8080")
        bag = DagBag(dag_folder=str(load_settings().dags_dir))
    assert not bag.import_errors, "\n".join(f"{path}: {error}" for path, error in bag.import_errors.items())
    return dict(bag.dags)


@pytest.fixture(scope="session")
def dags(all_dags: dict[str, DAG]) -> dict[str, DAG]:
    """The four rhythms."""
    return {dag_id: dag for dag_id, dag in all_dags.items() if dag_id in STAGES}
