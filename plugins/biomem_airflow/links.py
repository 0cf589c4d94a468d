"""Links from Airflow to the page Memory."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow.configuration import conf
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

# where Airflow shows the page: registration.views gives the route, the rest is the frame's own address
FRAME = "/plugin/memory/biomem/"


def page(view: str = "now", **choices: str) -> str:
    """The address of a view of the page inside Airflow."""
    root = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{root}{FRAME}#/{view}{'?' + urlencode(choices) if choices else ''}"


class MemoryPageLink(BaseOperatorLink):
    """Leads from a task to a view of the page."""

    name = "Memory"

    def __init__(self, view: str = "now", *, about_run: bool = False) -> None:
        self.view = view
        self.about_run = about_run

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        return page(self.view, run=ti_key.run_id) if self.about_run else page(self.view)


MEMORY_PAGE = MemoryPageLink()
HEALTH = MemoryPageLink("health")
RESULT = MemoryPageLink("what_if", about_run=True)
