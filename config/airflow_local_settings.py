"""Airflow imports this file when any of its processes starts; only the scheduler has something to do here."""

from __future__ import annotations

import sys

if "scheduler" in sys.argv:
    from biomem_airflow.preload import preload

    preload()
