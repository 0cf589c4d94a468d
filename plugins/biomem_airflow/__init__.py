"""Airflow adapters of the Biological Memory Pipeline."""
