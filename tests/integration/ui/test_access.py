"""Who may see the page, on each route of a real Airflow server: nobody, a stranger, a viewer, an administrator."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import psycopg
import pytest
from fastapi import APIRouter

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
    "/api/what-if",
    "/api/what-if/run?run=manual__1",
    "/api/runs",
    "/api/health",
    "/docs/",
    "/docs/manifest.json",
    "/docs/catalog.json",
]


@pytest.fixture(scope="module")
def server():
    """Airflow's API server with this project's plugins and DAGs, over a database of its own."""
    from airflow import plugins_manager
    from airflow import settings as airflow_settings
    from airflow.api_fastapi.app import create_app, purge_cached_app
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
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
        DagBundlesManager().sync_bundles_to_db()
        dags = load_settings().dags_dir
        bag = BundleDagBag(dags, bundle_path=dags, bundle_name="dags-folder")
        assert not bag.import_errors
        sync_bag_to_db(bag, "dags-folder", None)
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

    def ask(path, role=None, body=None, **headers):
        if role == "stranger":
            headers["Authorization"] = "Bearer " + "x" * 40
        elif role is not None:
            user = SimpleAuthManagerUser(username=role, role=role)
            headers["Authorization"] = f"Bearer {get_auth_manager().generate_jwt(user)}"
        server.cookies.clear()
        if body is not None:
            return server.post(f"/biomem{path}", headers=headers, json=body)
        return server.get(f"/biomem{path}", headers=headers)

    return ask


def test_every_route_is_in_the_list_below():
    from biomem_airflow.ui import dbt_docs, routes

    router = APIRouter(routes=[*routes.router.routes, *dbt_docs.router.routes])
    assert {method for route in router.routes for method in route.methods} == {"GET"}
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
    # dbt's own page writes its styles by script
    assert "unsafe" not in (policy if route != "/docs/" else policy.split("script-src")[1].split(";")[0])


WRITES = {
    "/api/rehearse": {"agent": "ada", "id": "a1"},
    "/api/restore": {"agent": "ada", "id": "a9"},
    "/api/forget": {"agent": "ada", "id": "a1", "reason": "asked to"},
    "/api/what-if": {"parameters": {"decay": 0.11}, "agent": "ada"},
}
FROM_THE_PAGE = {"X-Biomem-Request": "page", "Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}


def written(pg):
    """Everything that a write could have left behind."""
    from airflow.models import DagRun
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        runs = session.execute(select(DagRun.dag_id, DagRun.conf, DagRun.triggering_user_name)).all()
        notes = session.execute(
            select(Log.event, Log.owner, Log.dag_id, Log.extra).where(Log.event.like("memory.%")).order_by(Log.id)
        ).all()
    accesses = pg.execute(
        "select memory_id, agent_id, kind, grade, origin from memory.access_log where origin = 'page'"
    )
    return [tuple(run) for run in runs], [tuple(note) for note in notes], accesses.fetchall()


def test_every_route_that_writes_is_in_the_list_above():
    from biomem_airflow.ui.writes import router

    assert {route.path for route in router.routes} == set(WRITES)


@pytest.mark.parametrize("route", WRITES)
def test_a_write_is_for_those_who_may_start_the_dag_and_for_nobody_else(as_role, pg, route):
    before = written(pg)
    answers = {
        role: as_role(route, role, WRITES[route], **FROM_THE_PAGE).status_code for role in (None, "stranger", "viewer")
    }
    assert answers == {None: 401, "stranger": 403, "viewer": 403}
    assert written(pg) == before
    assert as_role(route, "admin", WRITES[route], **FROM_THE_PAGE).status_code == 200
    assert written(pg) != before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://testserver"},
        {"X-Biomem-Request": "page", "Origin": "https://evil.example"},
        {"X-Biomem-Request": "page", "Origin": "null"},
        {"X-Biomem-Request": "page", "Sec-Fetch-Site": "cross-site"},
        {"X-Biomem-Request": "page", "Sec-Fetch-Site": "same-site"},
    ],
    ids=["a form", "a form of the page", "another site", "a file", "another site's script", "a neighbour"],
)
@pytest.mark.parametrize("route", WRITES)
def test_what_another_site_makes_a_browser_send_is_refused(as_role, pg, route, headers):
    before = written(pg)
    assert as_role(route, "admin", WRITES[route], **headers).status_code == 403
    assert written(pg) == before


def test_a_rehearsal_and_a_restoration_are_accesses_that_the_next_window_pulls(as_role, pg):
    assert as_role("/api/rehearse", "admin", WRITES["/api/rehearse"], **FROM_THE_PAGE).json()["dag_id"]
    assert as_role("/api/restore", "admin", WRITES["/api/restore"], **FROM_THE_PAGE).status_code == 200
    _, notes, accesses = written(pg)
    assert accesses == [("a1", "ada", "restudy", 3, "page"), ("a9", "ada", "retrieve", 3, "page")]
    assert notes[-2:] == [
        ("memory.rehearse", "admin", "short_term_memory", '{"agent": "ada", "memory": "a1"}'),
        ("memory.restore", "admin", "short_term_memory", '{"agent": "ada", "memory": "a9"}'),
    ]


def test_forgetting_for_good_and_a_trial_are_runs_in_the_name_of_who_asked(as_role, pg):
    for route in ("/api/forget", "/api/what-if"):
        assert as_role(route, "admin", WRITES[route], **FROM_THE_PAGE).json()["run_id"]
    runs, notes, _ = written(pg)
    assert ("forget_hard", {"ids": ["a1"], "reason": "asked to", "with_repeats": False}, "admin") in runs
    assert ("what_if", {"decay": 0.11, "agent_id": "ada"}, "admin") in runs
    assert [note[0] for note in notes[-2:]] == ["memory.forget", "memory.what_if"]
    assert pg.execute("select count(*) from memory.memories where memory_id = 'a1'").fetchone() == (1,), "not around it"


@pytest.mark.parametrize(
    ("route", "body", "status", "said"),
    [
        ("/api/restore", {"agent": "ada", "id": "a1"}, 409, "is live, not forgotten"),
        ("/api/rehearse", {"agent": "milo", "id": "a1"}, 404, "milo has no memory 'a1'"),
        ("/api/forget", {"agent": "ada", "id": "zz", "reason": "asked to"}, 404, "ada has no memory 'zz'"),
        ("/api/forget", {"agent": "ada", "id": "a1", "reason": ""}, 422, "at least 3 characters"),
        ("/api/what-if", {"parameters": {"decay": 7}}, 422, "7 is greater than the maximum of 0.8"),
        ("/api/rehearse", {"agent": "ada", "id": "a1", "grade": 4}, 422, "grade"),
    ],
)
def test_a_write_that_cannot_be_says_why_and_leaves_nothing(as_role, pg, route, body, status, said):
    before = written(pg)
    answer = as_role(route, "admin", body, **FROM_THE_PAGE)
    assert answer.status_code == status
    assert said in answer.text
    assert written(pg) == before


def test_what_failed_and_how_long_runs_took_is_told(as_role):
    from airflow.models import DagRun, TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select, update

    as_role("/api/what-if", "admin", WRITES["/api/what-if"], **FROM_THE_PAGE)
    ended = datetime.now(timezone.utc)
    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.dag_id == "what_if").limit(1)).one()
        run.state, run.start_date, run.end_date = "failed", ended - timedelta(seconds=90), ended
        run_id = run.run_id
        session.execute(
            update(TaskInstance)
            .where(TaskInstance.run_id == run_id, TaskInstance.task_id == "take_copies")
            .values(state="failed", end_date=ended)
        )
    assert as_role(f"/api/what-if/run?run={quote(run_id)}", "viewer").json() == {"state": "failed"}
    found = as_role("/api/runs", "viewer").json()
    assert [(one["dag_id"], one["state"], one["seconds"]) for one in found["runs"]] == [("what_if", "failed", 90)]
    assert [(one["task_id"], one["run_id"], one["is_data_test"]) for one in found["failed"]] == [
        ("take_copies", run_id, False)
    ]


def test_a_view_cannot_be_written_to(server):
    for method in ("post", "put", "patch", "delete"):
        assert getattr(server, method)("/biomem/api/now").status_code in (401, 405)


@pytest.mark.parametrize(
    "path", ["../app.py", "..%2fapp.py", "index.html", "vendor/../../app.py", "vendor/echarts.LICENSE", ""]
)
def test_only_the_files_of_the_page_are_served(as_role, path):
    assert as_role(f"/static/any/{path}", "admin").status_code == 404
