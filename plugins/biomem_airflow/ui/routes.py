"""The page's addresses: its files, and one answer in JSON for each thing that it draws."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - FastAPI reads the annotations
from datetime import datetime  # noqa: TC003
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from biomem_airflow.ui import assets, permissions, reading, runs
from biomem_airflow.ui.views import agents, forgetting, health, network, now, what_if, why, windows

router = APIRouter()


def database(request: Request) -> Iterator[reading.Reader]:
    """A connection for one answer."""
    with reading.connection(request.app.state.dsn) as pg:
        yield pg


Database = Annotated[reading.Reader, Depends(database)]
NO_NUL = r"^[^\x00]*$"  # PostgreSQL holds no text with one
Agent = Annotated[str, Query(min_length=1, max_length=1_000, pattern=NO_NUL)]
AnyAgent = Annotated[str | None, Query(max_length=1_000, pattern=NO_NUL)]
Words = Annotated[str, Query(max_length=2_000, pattern=NO_NUL)]
Page = Annotated[int, Query(ge=0, le=100_000)]
MemoryId = Annotated[str, Query(min_length=1, max_length=1_000, pattern=NO_NUL)]


@router.get("/")
def page() -> Response:
    return assets.page()


@router.get("/icon.svg")
def icon() -> Response:
    return assets.file("icon.svg", is_versioned=False)


@router.get("/static/{version}/{path:path}")
def static(version: str, path: str) -> Response:
    return assets.file(path, is_versioned=version == assets.version())


@router.get("/api/agents")
def get_agents(pg: Database, search: Words = "") -> dict[str, Any]:
    return agents.find(pg, search)


@router.get("/api/now")
def get_now(pg: Database, agent: AnyAgent = None, page: Page = 0) -> dict[str, Any]:
    return now.view(pg, agent or None, page)


@router.get("/api/windows")
def get_windows(pg: Database, agent: AnyAgent = None) -> dict[str, Any]:
    return windows.view(pg, agent or None)


@router.get("/api/windows/memories")
def get_window(pg: Database, start: datetime, agent: AnyAgent = None) -> dict[str, Any]:
    return windows.memories(pg, agent or None, start)


@router.get("/api/forgetting")
def get_forgetting(pg: Database, agent: Agent, search: Words = "", page: Page = 0) -> dict[str, Any]:
    return forgetting.view(pg, agent, search, page)


@router.get("/api/forgetting/curves")
def get_curves(
    pg: Database, agent: Agent, memory_ids: Annotated[list[MemoryId], Query(alias="id", max_length=8)]
) -> dict[str, Any]:
    return forgetting.curves(pg, agent, memory_ids)


@router.get("/api/forgetting/people")
def get_people() -> dict[str, Any]:
    return forgetting.people()


@router.get("/api/network")
def get_network(
    pg: Database,
    agent: Agent,
    concept: AnyAgent = None,
    strength: Annotated[float, Query(ge=0, le=1)] = 0,
    limit: Annotated[int, Query(ge=1, le=2_000)] = 300,
) -> dict[str, Any]:
    return network.view(pg, agent, concept or None, strength, limit)


@router.get("/api/recall")
def get_recall(
    pg: Database, agent: Agent, question: Words, forgotten: Literal["cued", "all", "none"] = "cued"
) -> dict[str, Any]:
    return why.search(pg, agent, question, forgotten)


@router.get("/api/story")
def get_story(pg: Database, agent: Agent, memory_id: Annotated[MemoryId, Query(alias="id")]) -> dict[str, Any]:
    return why.story(pg, agent, memory_id)


@router.get("/api/runs", dependencies=[Depends(permissions.may_see_runs)])
def get_runs() -> dict[str, Any]:
    return runs.view()


@router.get("/api/what-if")
def get_what_if(pg: Database, run: AnyAgent = None) -> dict[str, Any]:
    return what_if.view(pg, run or None)


@router.get("/api/what-if/run", dependencies=[Depends(permissions.may_see_runs)])
def get_what_if_run(run: Words) -> dict[str, Any]:
    return runs.state(permissions.WHAT_IF, run)


@router.get("/api/health")
def get_health(pg: Database, agent: AnyAgent = None) -> dict[str, Any]:
    return health.view(pg, agent or None)
