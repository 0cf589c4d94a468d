"""The page's server side: every route, static files included, needs a user who may see Airflow's plugins.

A route that writes needs besides a user who may start the DAG that carries it out (`permissions`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from airflow.exceptions import AirflowException
from biomem.errors import BiomemError
from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse

from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.ui import dbt_docs, reading, routes, writes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import Request, Response

CONNECTION = "memory_target"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def make_app(dsn: Callable[[], str] | None = None, access: Callable[..., Any] | None = None) -> FastAPI:
    """The application. `dsn` finds the database, by default through the Airflow connection; `access` guards it."""
    guard = access or requires_access_view(AccessView.PLUGINS)
    app = FastAPI(title="Memory", dependencies=[Depends(guard)], docs_url=None, redoc_url=None, openapi_url=None)
    app.state.dsn = dsn or (lambda: conninfo(CONNECTION))
    app.include_router(routes.router)
    app.include_router(writes.router)
    app.include_router(dbt_docs.router)
    app.middleware("http")(_with_headers)
    app.exception_handler(BiomemError)(_in_words)
    app.exception_handler(AirflowException)(_without_connection)
    return app


async def _with_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


async def _in_words(_: Request, error: BiomemError) -> JSONResponse:
    return JSONResponse({"error": str(error), "kind": reading.kind_of(error)}, status_code=503)


async def _without_connection(_: Request, error: AirflowException) -> JSONResponse:
    words = f"Airflow has no usable connection {CONNECTION!r}: {error}"
    return JSONResponse({"error": words, "kind": "connection"}, status_code=503)
