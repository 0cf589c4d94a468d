"""Removing memories for good."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException
from biomem.deletion.forget import Request, forget
from biomem.deletion.source import still_in_source
from biomem.recall.past import discard_all

from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.links import MEMORY_PAGE
from biomem_airflow.operators.when_quiet import WhenQuietOperator, asked_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from biomem.settings import Settings


class ForgetHardOperator(WhenQuietOperator):
    """Do what `biomem forget --hard` does; a retry finishes a deletion that was cut short.

    Fails, after everything else was removed, when an id is not known. The result says what was removed and what the
    source still has.
    """

    template_fields: Sequence[str] = ("source_conn_id", "target_conn_id")
    operator_extra_links = (MEMORY_PAGE,)

    def __init__(
        self, *, source_conn_id: str = "memory_source", target_conn_id: str = "memory_target", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.source_conn_id = source_conn_id
        self.target_conn_id = target_conn_id

    def work(self, context: Context, settings: Settings) -> dict[str, Any]:
        form = context["params"]
        request = Request(
            ids=tuple(form["ids"]),
            forgotten_at=context["dag_run"].run_after,
            requested_by=asked_by(context),
            reason=form["reason"],
            with_repeats=form["with_repeats"],
            skip_vacuum=form["skip_vacuum"],
        )
        report = forget(settings, request, target_dsn=conninfo(self.target_conn_id), tell=self.log.info)
        # kept for questions about the past, and built again for the next one
        discard_all(settings)
        gone = [*report.forgotten, *report.already_forgotten]
        in_source = still_in_source(settings, gone, source_dsn=conninfo(self.source_conn_id))
        for rows in in_source:
            self.log.warning(
                "still in the source, %s; not pulled again. Delete them there too: %s", rows.table, rows.sql
            )
        for text in report.left:
            self.log.warning("left: %s", text)
        if report.unknown:
            raise AirflowFailException(
                f"{len(report.forgotten)} memories were removed. Not known, and nothing was done about: "
                f"{', '.join(report.unknown)}; an id is written as the source has it (the page Memory shows it)"
            )
        return {**asdict(report), "still_in_source": [asdict(rows) for rows in in_source]}
