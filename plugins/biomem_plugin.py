"""Registration with Airflow, and nothing else: the package beside this file does the work."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from biomem_airflow.ui import registration


class BiologicalMemoryPlugin(AirflowPlugin):
    name = "biological_memory"
    fastapi_apps = registration.apps()
    external_views = registration.views()
