"""Trying other parameters in copies, asking a person, and making them the pipeline's."""

from __future__ import annotations

import hashlib
import shutil
import time
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from biomem.errors import ConfigurationError
from biomem.parameters import adopt
from biomem.settings import load_settings
from biomem.warehouse.rebuild import rebuild_and_publish
from biomem.whatif import record
from biomem.whatif.trial import take_copies, try_parameters

from biomem_airflow.forms import question_of
from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.links import RESULT
from biomem_airflow.operators.run_facts import as_flag, as_instant
from biomem_airflow.operators.when_quiet import WhenQuietOperator, asked_by

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from airflow.sdk import Context
    from biomem.settings import Settings

# copies of a run that was killed are in nobody's use after that
LEFT_BEHIND_S = 86_400


class TakeCopiesOperator(WhenQuietOperator):
    """Copy the warehouse for the run's trial: all that the trial needs of it. The result is the instant to compute."""

    operator_extra_links = (RESULT,)

    def work(self, context: Context, settings: Settings) -> str:
        question = question_of(context["params"], settings)
        for folder in _folder(settings, "").parent.glob("*"):
            if time.time() - folder.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(folder)
        return take_copies(settings, question, _folder(settings, context["run_id"])).isoformat()


class TryParametersOperator(BaseOperator):
    """Build both copies, compare them, and write what came of it into schema `memory`. The result is a summary.

    :param as_of: up to when to compute (ISO 8601)
    """

    template_fields: Sequence[str] = ("as_of", "target_conn_id")
    operator_extra_links = (RESULT,)
    ui_color = "#fdf1d6"

    def __init__(self, *, as_of: str, target_conn_id: str = "memory_target", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.as_of = as_of
        self.target_conn_id = target_conn_id

    def execute(self, context: Context) -> str:
        settings = load_settings()
        folder = _folder(settings, context["run_id"])
        try:
            question = question_of(context["params"], settings)
            trial = try_parameters(settings, question, folder, as_instant(self.as_of), report=self.log.info)
            record.save(conninfo(self.target_conn_id), context["run_id"], trial, asked_by=asked_by(context))
        except ConfigurationError as error:
            raise AirflowFailException(str(error)) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        summary = record.summary(trial)
        self.log.info("%s", summary)
        return summary


class OfferParametersOperator(ApprovalOperator):
    """Ask a person whether the parameters that were tried become the pipeline's; skipped when that is not wanted.

    :param is_wanted: whether to ask at all
    """

    template_fields = (*ApprovalOperator.template_fields, "is_wanted")

    def __init__(self, *, is_wanted: str | bool = True, target_conn_id: str = "memory_target", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.is_wanted = is_wanted
        self.target_conn_id = target_conn_id

    def execute(self, context: Context) -> Any:
        if not as_flag(self.is_wanted):
            raise AirflowSkipException("the form asked for the comparison only: nothing is offered, nothing changes")
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        answer = super().execute_complete(context, event)
        if answer["chosen_options"][0] == self.REJECT:
            by = _name(answer["responded_by_user"])
            record.decide(
                conninfo(self.target_conn_id), context["run_id"], "rejected", by=by, at=answer["responded_at"]
            )
        return answer


class PromoteParametersOperator(WhenQuietOperator):
    """Make the parameters of the run's trial this home's, on record, and build the memory anew with them.

    `biomem params --revert` takes it back. A retry goes on where the last try ended.

    :param approval_task_id: the task whose answer says who approved
    """

    template_fields: Sequence[str] = ("target_conn_id",)
    operator_extra_links = (RESULT,)

    def __init__(self, *, approval_task_id: str, target_conn_id: str = "memory_target", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approval_task_id = approval_task_id
        self.target_conn_id = target_conn_id

    def work(self, context: Context, settings: Settings) -> dict[str, Any]:
        answer = context["ti"].xcom_pull(task_ids=self.approval_task_id)
        dsn, run_id = conninfo(self.target_conn_id), context["run_id"]
        by, at = _name(answer["responded_by_user"]), answer["responded_at"]
        values = record.decide(dsn, run_id, "promoted", by=by, at=at)
        adopt(settings, values, at=at, by=by, reason=f"approved after the trial {run_id}")
        self.log.info("%s approved: %s; recorded in %s", by, values, settings.parameters_path)
        rebuild_and_publish(settings, run_id=run_id, dsn=dsn, report=self.log.info)
        return values


def _folder(settings: Settings, run_id: str) -> Path:
    return settings.home / "what_if" / hashlib.sha256(run_id.encode()).hexdigest()[:16]


def _name(user: Any) -> str:
    """The name of who answered; nobody has when the time for it ran out."""
    return str((user or {}).get("name") or "nobody in time")
