"""The equations of the memory model as pure functions: standard library only, no state, no clock, no randomness.

Every function has a dbt macro of the same name under `dbt/macros/equations`; `tests/parity` holds the two together to a
relative 1e-12. Outside its domain a function raises ValueError where the macro gives NULL; an argument that may be None
has a meaning when it is missing, any other missing argument gives NULL in SQL. Keyword arguments default to the values
in `dbt_project.yml`, under whose names the documentation of units, ranges and sources lies.
"""
