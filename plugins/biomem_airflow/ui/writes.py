"""What the page may ask for: accesses that the next window pulls, and runs of DAGs. Each is in Airflow's audit log."""

from __future__ import annotations

import json
from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import Annotated, Any, Literal

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.exceptions import DagNotFound
from airflow.models.log import Log
from airflow.sdk.exceptions import ParamValidationError
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from biomem_airflow.ui import permissions, reading

Text = Annotated[str, StringConstraints(min_length=1, max_length=1_000, pattern=r"^[^\x00]*$")]
User = Annotated[BaseUser, Depends(permissions.who)]
ORIGIN = "page"
# kind and grade of what is logged: a rehearsal meets the memory again, a restoration is a recall that succeeds
ACCESSES = {"rehearse": ("restudy", 3), "restore": ("retrieve", 3)}

router = APIRouter(dependencies=[Depends(permissions.from_this_page)])


class Chosen(BaseModel):
    """One memory of one agent."""

    model_config = ConfigDict(extra="forbid")
    agent: Text
    id: Text


class ToForget(Chosen):
    reason: Annotated[str, StringConstraints(min_length=3, max_length=500, pattern=r"^[^\x00]*$")]
    with_repeats: bool = False


class ToTry(BaseModel):
    """The form of what_if; the DAG itself checks it."""

    model_config = ConfigDict(extra="forbid")
    parameters: dict[Text, Any] = Field(min_length=1, max_length=60)
    agent: Text | None = None
    as_of: datetime | None = None


@router.post("/api/rehearse", dependencies=[Depends(permissions.may_run_window)])
def rehearse(request: Request, user: User, chosen: Chosen) -> dict[str, Any]:
    return _access(request, user, "rehearse", chosen)


@router.post("/api/restore", dependencies=[Depends(permissions.may_run_window)])
def restore(request: Request, user: User, chosen: Chosen) -> dict[str, Any]:
    return _access(request, user, "restore", chosen)


@router.post("/api/forget", dependencies=[Depends(permissions.may_forget)])
def forget(request: Request, user: User, chosen: ToForget) -> dict[str, Any]:
    with reading.connection(request.app.state.dsn) as pg:
        _require(pg, chosen)
    form = {"ids": [chosen.id], "reason": chosen.reason, "with_repeats": chosen.with_repeats}
    return _start(user, permissions.FORGET, "forget", form)


@router.post("/api/what-if", dependencies=[Depends(permissions.may_try)])
def try_parameters(user: User, wanted: ToTry) -> dict[str, Any]:
    form = {**wanted.parameters, "agent_id": wanted.agent}
    return _start(
        user, permissions.WHAT_IF, "what_if", form | ({"as_of": wanted.as_of.isoformat()} if wanted.as_of else {})
    )


def _access(request: Request, user: BaseUser, what: Literal["rehearse", "restore"], chosen: Chosen) -> dict[str, Any]:
    """Log an access, which the next window pulls like any other."""
    kind, grade = ACCESSES[what]
    with reading.connection(request.app.state.dsn, may_write=True) as pg:
        state = _require(pg, chosen)
        if what == "restore" and state != "forgotten":
            raise HTTPException(409, f"{chosen.id!r} is {state}, not forgotten: there is nothing to restore")
        _note(user, what, permissions.WINDOW, {"agent": chosen.agent, "memory": chosen.id})
        logged = reading.one(
            pg,
            "insert into memory.access_log (memory_id, agent_id, accessed_at, kind, grade, origin) "
            "values (%(id)s, %(agent)s, now(), %(kind)s, %(grade)s, %(origin)s) returning access_id, accessed_at",
            {"id": chosen.id, "agent": chosen.agent, "kind": kind, "grade": grade, "origin": ORIGIN},
        )
    return {**logged, "dag_id": permissions.WINDOW}


def _require(pg: reading.Reader, chosen: Chosen) -> str:
    """The state of the memory; 404 when the agent has no such memory."""
    found = reading.rows(
        pg, "select state from memory.memories where memory_id = %(id)s and agent_id = %(agent)s", dict(chosen)
    )
    if not found:
        raise HTTPException(404, f"{chosen.agent} has no memory {chosen.id[:100]!r}")
    return str(found[0]["state"])


def _start(user: BaseUser, dag_id: str, what: str, form: dict[str, Any]) -> dict[str, Any]:
    """Start a run in the user's name; a form that the DAG refuses is the user's to mend."""
    try:
        run = trigger_dag(
            dag_id, triggered_by=DagRunTriggeredByType.UI, triggering_user_name=user.get_name(), conf=form
        )
    except DagNotFound:
        raise HTTPException(503, f"Airflow has no DAG {dag_id} yet: it reads the DAG files every minute") from None
    except (ParamValidationError, ValueError) as error:
        raise HTTPException(422, str(error)) from None
    _note(user, what, dag_id, form, run.run_id if run else None)
    return {"dag_id": dag_id, "run_id": run.run_id if run else None}


def _note(user: BaseUser, what: str, dag_id: str, about: dict[str, Any], run_id: str | None = None) -> None:
    """Write into Airflow's audit log who wanted what."""
    name = user.get_name()
    with create_session() as session:
        session.add(
            Log(
                event=f"memory.{what}",
                owner=name,
                owner_display_name=name,
                dag_id=dag_id,
                run_id=run_id,
                extra=json.dumps(about, default=str),
            )
        )
