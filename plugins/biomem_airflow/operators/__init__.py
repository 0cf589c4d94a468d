"""Operators of the pipeline: each translates between Airflow and `biomem`, and decides nothing itself."""
