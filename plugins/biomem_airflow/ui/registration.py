"""What Airflow is told of the page. Every Airflow process imports this: the page is made when it is first asked for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.configuration import conf

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

PREFIX = "/biomem"
NAME = "Memory"


class MemoryPage:
    """The page as an ASGI application that is made when it is first asked for."""

    def __init__(self) -> None:
        self._app: FastAPI | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._made()(scope, receive, send)

    def _made(self) -> FastAPI:
        with self._lock:
            if self._app is None:
                from biomem_airflow.ui.app import make_app

                self._app = make_app()
            return self._app


def apps() -> list[dict[str, Any]]:
    return [{"app": MemoryPage(), "url_prefix": PREFIX, "name": NAME}]


def views() -> list[dict[str, Any]]:
    """The page in the navigation, and as a tab of each DAG."""
    root = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
    page = {"href": f"{root}{PREFIX}/", "icon": f"{root}{PREFIX}/icon.svg"}
    return [
        {"name": NAME, "destination": "nav", "url_route": "memory", **page},
        {"name": NAME, "destination": "dag", "url_route": "memory-of-dag", **page},
    ]
