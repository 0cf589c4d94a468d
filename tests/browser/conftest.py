"""The page in a real Chromium: served without Airflow around it, over a published memory."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from biomem.warehouse.target_schema import ensure_target_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# what Airflow is to the page: a document of the same origin that holds it in a frame and has the theme as a class
HOST = "<!doctype html><html class=light><body><iframe src='/biomem/' width=1200 height=800></iframe></body></html>"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = "no Chromium on this machine: apt-get install chromium" if CHROMIUM is None else ""
    for item in items:
        if Path(item.path).parent == Path(__file__).parent and reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def _published() -> Any:
    path = Path(__file__).parents[1] / "integration" / "ui" / "conftest.py"
    spec = importlib.util.spec_from_file_location("published", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


published = _published()


# not for the session: while Playwright is there an event loop runs, in which no other test can start one
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # as root, and in most containers, Chromium's own sandbox cannot be
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Site:
    """Where the page is served from, and which database it finds."""

    def __init__(self, url: str, dsn: str) -> None:
        self.url, self.dsn = url, dsn


# what Airflow's own database says of its runs: there is no Airflow around this page
RUNS = {
    "runs": [
        {"dag_id": "nightly_decay", "run_id": f"r{n}", "state": "success", "seconds": 10.0 * n} for n in range(1, 4)
    ],
    "failed": [
        {
            "dag_id": "nightly_decay",
            "run_id": "r0",
            "task_id": "test",
            "map_index": -1,
            "try_number": 3,
            "end_date": "2026-01-09T02:01:00+00:00",
            "is_data_test": True,
        }
    ],
    "days": 7,
}


@pytest.fixture
def site(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    import uvicorn
    from biomem_airflow.ui import permissions, runs
    from biomem_airflow.ui.app import make_app
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = Site(f"http://127.0.0.1:{port}/biomem/", dsn)
    root = FastAPI()
    root.get("/host", response_class=HTMLResponse)(lambda: HOST)
    page = make_app(lambda: found.dsn, access=lambda: None)
    page.dependency_overrides[permissions.may_see_runs] = lambda: None
    monkeypatch.setattr(runs, "view", lambda: RUNS)
    root.mount("/biomem", page)
    server = uvicorn.Server(uvicorn.Config(root, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield found
    server.should_exit = True
    thread.join()


@pytest.fixture
def pg(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    ensure_target_schema(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(published.PUBLISHED)
        connection.execute("update memory.memories set content = %s where memory_id = 'a1'", [published.SCRIPT])
        yield connection
