"""What stands in for the world outside: an embedded PostgreSQL, files to load, and a sample life."""
