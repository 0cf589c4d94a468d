"""The few calls of Airflow's REST API that the command line makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
from biomem.errors import ServiceError

from biomem_airflow.environment import USER

if TYPE_CHECKING:
    from datetime import datetime

COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
PENDING = ("queued", "running")


@dataclass(frozen=True)
class TaskRun:
    """One try of a task: its state as Airflow names it, when it `began` (ISO 8601), and for how many seconds it ran.

    Before it started there is neither. A mapped task (one per source) has a `map_index`, -1 otherwise, and a `label`.
    """

    task_id: str
    state: str | None
    seconds: float | None
    try_number: int
    map_index: int = -1
    label: str | None = None
    began: str | None = None


@dataclass(frozen=True)
class Run:
    """One run of a DAG; `seconds` counts from its start to its end."""

    dag_id: str
    run_id: str
    state: str
    seconds: float | None

    @property
    def is_over(self) -> bool:
        return self.state not in PENDING


class AirflowApi:
    """A client of the local Airflow. Errors of the server are raised as ServiceError with what it said."""

    def __init__(self, url: str, password: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._password = password

    def close(self) -> None:
        self._client.close()

    def health(self, timeout_s: float = 10) -> dict[str, str]:
        """Return the state of each component; nothing when the server does not answer within `timeout_s`."""
        try:
            answer = self._client.get("/api/v2/monitor/health", timeout=timeout_s)
        except httpx.TransportError:
            return {}
        if answer.status_code != httpx.codes.OK:
            return {}
        return {name: str((part or {}).get("status")) for name, part in answer.json().items()}

    def version(self) -> str:
        return str(self._call("GET", "/api/v2/version")["version"])

    def dag_ids(self) -> set[str]:
        return {str(dag["dag_id"]) for dag in self._call("GET", "/api/v2/dags", params={"limit": 100})["dags"]}

    def import_errors(self) -> list[str]:
        errors = self._call("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in errors]

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        pool = {"slots": slots, "description": description, "include_deferred": True}
        answer = self._request("POST", "/api/v2/pools", json={"name": name, **pool})
        if answer.status_code == httpx.codes.CONFLICT:
            # one of an older home may have another size
            answer = self._request("PATCH", f"/api/v2/pools/{name}", json={"pool": name, **pool})
        self._checked(answer)

    def unpause(self, dag_id: str) -> None:
        self._call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> Run:
        body = {"logical_date": None, "conf": conf}
        return self._run(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body))

    def run(self, dag_id: str, run_id: str) -> Run:
        return self._run(self._call("GET", self._run_path(dag_id, run_id)))

    def runs(self, dag_id: str, since: datetime, until: datetime) -> list[dict[str, Any]]:
        """Return every run of a DAG that was due in the time, as Airflow describes it, the oldest first."""
        span = {"run_after_gte": since.isoformat(), "run_after_lte": until.isoformat(), "order_by": "run_after"}
        found: list[dict[str, Any]] = []
        while True:
            options = {**span, "limit": 100, "offset": len(found)}
            page = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=options)
            found += page["dag_runs"]
            if not page["dag_runs"] or len(found) >= page["total_entries"]:
                return found

    def tasks(self, dag_id: str, run_id: str) -> list[TaskRun]:
        found = self._call("GET", f"{self._run_path(dag_id, run_id)}/taskInstances", params={"limit": 100})
        return [
            TaskRun(
                one["task_id"],
                one["state"],
                one["duration"],
                one["try_number"],
                one["map_index"],
                one["rendered_map_index"],
                one["start_date"],
            )
            for one in sorted(found["task_instances"], key=lambda one: (one["start_date"] or "~", one["task_id"]))
        ]

    def log(self, dag_id: str, run_id: str, task: TaskRun) -> list[str]:
        """Return the lines of a task's log."""
        path = f"{self._run_path(dag_id, run_id)}/taskInstances/{quote(task.task_id)}/logs/{task.try_number}"
        content = self._call("GET", path, params={"full_content": True, "map_index": task.map_index})["content"]
        return [line if isinstance(line, str) else _log_line(line) for line in content]

    @staticmethod
    def _run_path(dag_id: str, run_id: str) -> str:
        return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"

    @staticmethod
    def _run(found: dict[str, Any]) -> Run:
        return Run(found["dag_id"], found["dag_run_id"], found["state"], found["duration"])

    def _call(self, method: str, path: str, **options: Any) -> Any:
        return self._checked(self._request(method, path, **options)).json()

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            if "Authorization" not in self._client.headers:
                self._log_in()
            return self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise ServiceError(f"Airflow at {self._client.base_url} does not answer: {error}") from error

    def _log_in(self) -> None:
        answer = self._client.post("/auth/token", json={"username": USER, "password": self._password})
        self._client.headers["Authorization"] = f"Bearer {self._checked(answer).json()['access_token']}"

    @staticmethod
    def _checked(answer: httpx.Response) -> httpx.Response:
        if answer.is_error:
            request = answer.request
            raise ServiceError(
                f"Airflow refused {request.method} {request.url.path} ({answer.status_code}): {answer.text[:2000]}"
            )
        return answer


def _log_line(record: dict[str, Any]) -> str:
    """Write a structured log record as a person reads it; an error's own trace follows it."""
    lines = [str(record.get("event", ""))]
    for error in record.get("error_detail") or []:
        lines.append(f"{error.get('exc_type')}: {error.get('exc_value')}")
    return "\n".join(lines)
