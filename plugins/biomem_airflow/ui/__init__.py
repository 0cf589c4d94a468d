"""The page "Memory" in Airflow: what agents have in mind, what they forget and why, read from schema `memory` only."""
