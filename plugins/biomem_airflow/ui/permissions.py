"""Who may write from the page, and that it is really the page that asks."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
from airflow.configuration import conf
from fastapi import HTTPException, Request

WINDOW, FORGET, WHAT_IF = "short_term_memory", "forget_hard", "what_if"
# a form of another site cannot send a header of its own, and a script there is not allowed to
OWN_HEADER = "X-Biomem-Request"

# who may start the DAG that carries it out may ask for it
may_run_window = requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=WINDOW)
may_forget = requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=FORGET)
may_try = requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=WHAT_IF)
may_see_runs = requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)
who = get_user


def from_this_page(request: Request) -> None:
    """Refuse what another site has made a signed-in browser send: its cookie comes along with that.

    Three hedges, each enough by itself in a browser of today: the cookie is SameSite=Lax (Airflow's), a header that
    only a script of the same origin can set, and the origin that the browser names.
    """
    if OWN_HEADER not in request.headers:
        raise HTTPException(403, f"a request that writes needs the header {OWN_HEADER}; only the page sends it")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise HTTPException(403, "another site has sent this: nothing was done")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc not in _own_names(request):
        raise HTTPException(403, f"the page is not at {origin}: nothing was done")


def _own_names(request: Request) -> set[str]:
    """Under which names the server is reached: the request's, and the one in Airflow's settings behind a proxy."""
    own = {request.headers.get("Host", ""), urlsplit(conf.get("api", "base_url", fallback="")).netloc}
    return own - {""}
