"""`python -m biomem_airflow`: the command `biomem`, for the supervisor that `biomem up` starts in the background."""

from __future__ import annotations

from biomem.cli import main

main()
