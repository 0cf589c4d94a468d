"""Airflow's connections in the form that the pipeline takes."""
