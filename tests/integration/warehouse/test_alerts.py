"""A late window is told of, to a real webhook, and not once a minute."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from biomem.errors import ServiceError
from biomem.settings import load_settings
from biomem_airflow import alerts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LATE = {
    "dag_run": {"dag_id": "short_term_memory", "logical_date": "2026-06-01T12:00:00Z", "state": "running"},
    "deadline": {"id": "1", "deadline_time": "2026-06-01T12:01:30Z"},
}


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if self.path == "/heard" else 500)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing: tests are quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIOMEM_HOME", str(tmp_path))
    monkeypatch.delenv("BIOMEM_ALERTS", raising=False)
    monkeypatch.setattr(alerts, "_told_at", None)
    return tmp_path


def tell() -> str:
    return asyncio.run(alerts.tell_late_window(LATE))


def test_a_late_window_is_told_of_once_in_ten_minutes(
    webhook: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, heard = webhook
    monkeypatch.setenv("BIOMEM_ALERTS", f"{url}/heard {url}/heard?method=POST")
    assert tell() == "told 2"
    assert "others were told" in tell()
    assert len(heard) == 2
    assert "short_term_memory is late: its window of 2026-06-01T12:00:00Z" in heard[0]["message"]


def test_whom_to_tell_may_stand_in_a_file_of_the_home(webhook: tuple[str, list[dict[str, Any]]], home: Path) -> None:
    url, heard = webhook
    (home / "alerts.yml").write_text(f"urls:\n  - {url}/heard\n", encoding="utf-8")
    assert tell() == "told 1"
    assert len(heard) == 1


def test_without_anybody_to_tell_it_is_written_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert "names nobody to tell" in tell()
    assert "short_term_memory is late" in caplog.text


def test_a_receiver_that_refuses_fails_the_alert_and_is_tried_again(
    webhook: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, heard = webhook
    monkeypatch.setenv("BIOMEM_ALERTS", f"{url}/refused")
    for _ in range(2):
        with pytest.raises(ServiceError, match="nobody could be told"):
            tell()
    assert len(heard) >= 2


def test_what_names_nobody_is_refused_without_repeating_it(home: Path) -> None:
    with pytest.raises(ServiceError, match="BIOMEM_ALERTS") as refused:
        alerts.receivers_of(replace(load_settings(), alerts="slak://secret-token"))
    assert "secret-token" not in str(refused.value)
    (home / "alerts.yml").write_text("nobody\n", encoding="utf-8")
    with pytest.raises(ServiceError, match=r"alerts\.yml"):
        alerts.receivers_of(load_settings())
