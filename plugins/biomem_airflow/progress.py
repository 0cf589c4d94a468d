"""What a person sees while something takes its time: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from biomem_airflow.runs import RunResult

DONE = ("success", "failed", "skipped", "upstream_failed", "removed")


class Progress:
    """Tells what is being done on `console`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("") if console.is_terminal else None
        self._begun = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` while the block runs, and how long it took when it has ended well."""
        begun = time.monotonic()
        self.tell(title)
        if self._status is not None:
            self._status.start()
        try:
            yield
        finally:
            if self._status is not None:
                self._status.stop()
        self._console.print(f"[green]✓[/] {escape(title)} [dim]{time.monotonic() - begun:.1f} s[/]", highlight=False)

    def tell(self, text: str) -> None:
        """Say what is happening now."""
        if self._status is not None:
            self._status.update(escape(text))
        else:
            self._console.print(
                f"[{time.monotonic() - self._begun:6.1f} s] {text}", markup=False, highlight=False, soft_wrap=True
            )

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def watch(self, run: RunResult) -> None:
        """Show how far a run is: a bar that moves on a terminal, a line for every task that ended elsewhere."""
        done = [task for task in run.tasks if task.state in DONE]
        if self._status is not None:
            working = ", ".join(task.name for task in run.tasks if task.state == "running")
            bar = "━" * len(done) + "╌" * (len(run.tasks) - len(done))
            self._status.update(f"{run.dag_id} [green]{bar}[/] {len(done)}/{len(run.tasks)} {escape(working)}")
            return
        seen = self._seen(run.run_id)
        for task in done:
            if task.name not in seen:
                seen.add(task.name)
                self.tell(f"{run.dag_id}: {task.name} {task.state} {task.seconds or 0:.1f} s")

    def _seen(self, run_id: str) -> set[str]:
        if not hasattr(self, "_reported") or self._reported[0] != run_id:
            self._reported: tuple[str, set[str]] = (run_id, set())
        return self._reported[1]
