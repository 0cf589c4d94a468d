"""The DuckDB warehouse: opening it, what a stage computes next, and publishing its results to PostgreSQL."""
