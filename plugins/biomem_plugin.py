"""Registration with Airflow, and nothing else: the plugin loader runs this file, the package beside it does the work."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class BiologicalMemoryPlugin(AirflowPlugin):
    name = "biological_memory"
