"""Who may see the page, on each route of a real Airflow server: nobody, a stranger, a viewer, an administrator."""

from __future__ import annotations

import json

import psycopg
import pytest

pytestmark = pytest.mark.airflow

ROUTES = [
    "/",
    "/icon.svg",
    "/static/any/main.js",
    "/static/any/vendor/echarts.min.js",
    "/api/agents",
    "/api/now",
    "/api/windows",
    "/api/windows/memories?start=2026-01-09T23:30:00Z",
    "/api/forgetting?agent=ada",
    "/api/forgetting/curves?agent=ada&id=a1",
    "/api/forgetting/people",
    "/api/network?agent=ada",
    "/api/recall?agent=ada&question=kettle",
    "/api/story?agent=ada&id=a1",
    "/api/health",
]


@pytest.fixture(scope="module")
def server():
    """Airflow's API server with this project's plugins, over a database of its own."""
    from airflow import plugins_manager
    from airflow import settings as airflow_settings
    from airflow.api_fastapi.app import create_app, purge_cached_app
    from airflow.utils.db import initdb
    from biomem.settings import load_settings
    from fastapi.testclient import TestClient

    caches = (plugins_manager._get_plugins, plugins_manager.get_fastapi_plugins)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(airflow_settings, "PLUGINS_FOLDER", str(load_settings().plugins_dir))
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "s" * 64)
        for cached in caches:
            cached.cache_clear()
        initdb()
        purge_cached_app()
        with TestClient(create_app(), raise_server_exceptions=False) as client:
            yield client
        purge_cached_app()
        for cached in caches:
            cached.cache_clear()


@pytest.fixture
def as_role(server, pg, dsn, monkeypatch):
    """Ask as somebody with a role, over the Airflow connection."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    connection = {"conn_type": "postgres", "login": parts["user"], "schema": parts["dbname"]}
    connection |= {"port": int(parts["port"]), "extra": {"host": parts["host"]}}
    monkeypatch.setenv("AIRFLOW_CONN_MEMORY_TARGET", json.dumps(connection))

    def ask(path, role=None):
        headers = {}
        if role == "stranger":
            headers["Authorization"] = "Bearer " + "x" * 40
        elif role is not None:
            user = SimpleAuthManagerUser(username=role, role=role)
            headers["Authorization"] = f"Bearer {get_auth_manager().generate_jwt(user)}"
        server.cookies.clear()
        return server.get(f"/biomem{path}", headers=headers)

    return ask


def test_every_route_is_in_the_list_below():
    from biomem_airflow.ui.routes import router

    asked = {route.split("?")[0].replace("any/main.js", "{version}/{path:path}") for route in ROUTES}
    assert {route.path for route in router.routes} <= asked


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_answers_viewers_and_administrators_and_nobody_else(as_role, route):
    answers = {role: as_role(route, role) for role in (None, "stranger", "viewer", "admin")}
    assert {role: answer.status_code for role, answer in answers.items()} == {
        None: 401,
        "stranger": 403,
        "viewer": 200,
        "admin": 200,
    }
    for role in (None, "stranger"):
        assert "kettle" not in answers[role].text
    policy = answers["viewer"].headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_no_route_can_write(server):
    for method in ("post", "put", "patch", "delete"):
        assert getattr(server, method)("/biomem/api/now").status_code in (401, 405)


@pytest.mark.parametrize(
    "path", ["../app.py", "..%2fapp.py", "index.html", "vendor/../../app.py", "vendor/echarts.LICENSE", ""]
)
def test_only_the_files_of_the_page_are_served(as_role, path):
    assert as_role(f"/static/any/{path}", "admin").status_code == 404
