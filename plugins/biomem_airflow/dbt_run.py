"""Taking part in a run of dbt in this process, at the moment before it builds anything."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def before_nodes(act: Callable[[], None]) -> Iterator[None]:
    """Have `act` done by each run of dbt in the block once it knows what to build, before it needs the warehouse.

    What it raises ends the run, as an exception in dbt's result.
    """
    task = import_module("dbt.task.run").RunTask
    before_run = task.before_run

    def act_first(self: Any, *args: Any, **options: Any) -> Any:
        act()
        return before_run(self, *args, **options)

    task.before_run = act_first
    try:
        yield
    finally:
        task.before_run = before_run


def refresh_fully() -> None:
    """Let the run that is about to build build anew, as `--full-refresh` does."""
    flags = import_module("dbt.flags").get_flags()
    for name in ("FULL_REFRESH", "full_refresh"):
        # frozen, and set so by dbt itself
        object.__setattr__(flags, name, True)
