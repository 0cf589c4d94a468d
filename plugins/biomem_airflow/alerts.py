"""Tells people that a window is late: in the triggerer's log, and wherever the home's alerts lead."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
from biomem.errors import ServiceError
from biomem.settings import load_settings

if TYPE_CHECKING:
    from apprise import Apprise
    from biomem.settings import Settings

LATE_AFTER = timedelta(seconds=60)
"""How long after it was due a window must be published."""

SILENCE = timedelta(minutes=10)
"""Windows that are late one after the other are told of once in so long."""

log = logging.getLogger(__name__)
_told_at: datetime | None = None


def deadline(window: timedelta) -> DeadlineAlert:
    """Return the alert of a rhythm whose runs are due when their window of this length ends."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        interval=window + LATE_AFTER,
        callback=AsyncCallback(tell_late_window),
    )


async def tell_late_window(context: dict[str, Any]) -> str:
    """Called by Airflow's triggerer for a run that missed its deadline; returns what was done.

    Raises ServiceError when nobody could be told; Airflow then marks the callback as failed.
    """
    global _told_at
    run = context["dag_run"]
    said = f"{run['dag_id']} is late: its window of {run['logical_date']} should have been published by now"
    log.warning("%s (state %s)", said, run["state"])
    receivers = receivers_of(load_settings())
    if not receivers:
        return "written to the log; BIOMEM_ALERTS names nobody to tell"
    now = datetime.now(timezone.utc)
    if _told_at is not None and now - _told_at < SILENCE:
        return f"written to the log; others were told at {_told_at:%H:%M:%S} UTC"
    if not await receivers.async_notify(
        title="Memory: a window is late",
        body=f"{said}. No window is lost: the next one takes up what it holds. `biomem doctor` says what is wrong.",
    ):
        raise ServiceError("nobody could be told that a window is late; see the lines above and check BIOMEM_ALERTS")
    _told_at = now
    return f"told {len(receivers)}"


def receivers_of(settings: Settings) -> Apprise:
    """Return whom to tell: the URLs of BIOMEM_ALERTS, else those of `alerts.yml` in the home.

    Raises ServiceError for a text that names no receiver; it is not repeated, for it may hold a token.
    """
    # a fifth of a second that no task needs, and tasks import this with their DAG
    from apprise import Apprise, AppriseConfig

    receivers = Apprise()
    if settings.alerts and not receivers.add(settings.alerts):
        raise ServiceError(
            "BIOMEM_ALERTS holds a URL that Apprise does not know; write it like slack://... or json://host/path"
        )
    if not settings.alerts and settings.alerts_path.exists():
        receivers.add(AppriseConfig(paths=str(settings.alerts_path)))
        if not receivers:
            raise ServiceError(f"{settings.alerts_path} names nobody to tell; write `urls:` with one URL a line")
    return receivers
