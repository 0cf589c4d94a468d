"""Pulling memories and accesses out of any PostgreSQL table into the warehouse's schema `raw`."""
