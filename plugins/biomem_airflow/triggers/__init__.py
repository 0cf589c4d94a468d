"""Airflow triggers of the memory pipeline."""
