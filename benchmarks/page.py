"""How long the page Memory takes to be there in a browser, cold cache, over a memory that is already published.

    .venv/bin/python benchmarks/page.py --home FOLDER --database bench --agent agent-0001

`--home` is one with an embedded PostgreSQL; nothing in it is written. Needs Chromium. Each view is opened `--times`
times in a browser context of its own, and the time runs from the navigation until the view has drawn its answer.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import uvicorn
from biomem.demo.postgres import embedded
from biomem.settings import load_settings
from biomem_airflow.ui import permissions, runs
from biomem_airflow.ui.app import make_app
from fastapi import FastAPI
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VIEWS = {
    "now": "#/now",
    "now, one agent": "#/now?agent={agent}",
    "windows": "#/windows",
    "forgetting": "#/forgetting?agent={agent}",
    "network": "#/network?agent={agent}",
    "why, a story": "#/why?agent={agent}&id={memory}",
    "health": "#/health",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--database", default="biomem")
    parser.add_argument("--agent", required=True)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    with embedded(load_settings(options.home, {})) as server:
        dsn = server.dsn(options.database)
        with psycopg.connect(dsn) as pg:
            pg.read_only = True
            memories = pg.execute("select count(*) from memory.memories").fetchone()
            memory = pg.execute(
                "select memory_id from memory.memories where agent_id = %s limit 1", [options.agent]
            ).fetchone()
        assert memory is not None, f"{options.agent} has no memories there"
        print(f"{memories[0]:,} memories; milliseconds until a view is drawn, cold cache, {options.times} times")
        for name, seconds in measure(dsn, options.agent, memory[0], options.times):
            middle, worst = (f"{1000 * value:,.0f}" for value in (statistics.median(seconds), max(seconds)))
            print(f"{name:16} median {middle:>6}  worst {worst:>6}")


def measure(dsn: str, agent: str, memory: str, times: int) -> Iterator[tuple[str, list[float]]]:
    """Each view with the seconds of every time it was opened; the first opening of all warms the server up."""
    # Airflow's own database is not part of it
    runs.view = lambda: {"runs": [], "failed": [], "days": 7}
    page = make_app(lambda: dsn, access=lambda: None)
    page.dependency_overrides[permissions.may_see_runs] = lambda: None
    root = FastAPI()
    root.mount("/biomem", page)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(root, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

            def opened(view: str) -> float:
                context = browser.new_context(viewport={"width": 1280, "height": 860})
                tab = context.new_page()
                started = time.perf_counter()
                tab.goto(f"http://127.0.0.1:{port}/biomem/{view}")
                tab.wait_for_selector("main[aria-busy=false]", timeout=60_000)
                took = time.perf_counter() - started
                assert "does not answer" not in tab.inner_text("main"), tab.inner_text("main")
                context.close()
                return took

            opened("#/now")
            for name, view in VIEWS.items():
                address = view.format(agent=quote(agent), memory=quote(memory))
                yield name, [opened(address) for _ in range(times)]
            browser.close()
    finally:
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main()
