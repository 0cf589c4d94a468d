"""A local Airflow: its four services as children of one supervisor, on this machine only."""
