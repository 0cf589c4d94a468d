"""Building everything anew from the log, and the proof that it is the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from biomem.warehouse.rebuild import rebuild_and_publish, verify

from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.links import MEMORY_PAGE
from biomem_airflow.operators.run_facts import as_flag, as_instant
from biomem_airflow.operators.when_quiet import WhenQuietOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from biomem.settings import Settings

ALL = "all"


class RebuildMemoryOperator(WhenQuietOperator):
    """Build the models anew from the log and publish what has changed by it.

    :param as_of: instant to build the memory for (ISO 8601); where each stage stands when empty
    :param layer: `all`, or the stage whose models are built
    """

    template_fields: Sequence[str] = ("as_of", "layer", "target_conn_id")
    operator_extra_links = (MEMORY_PAGE,)

    def __init__(self, *, as_of: str, layer: str, target_conn_id: str = "memory_target", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.as_of = as_of
        self.layer = layer
        self.target_conn_id = target_conn_id

    def work(self, context: Context, settings: Settings) -> dict[str, Any]:
        results = rebuild_and_publish(
            settings,
            as_instant(self.as_of) if self.as_of else None,
            stage=None if self.layer == ALL else self.layer,
            run_id=context["run_id"],
            dsn=conninfo(self.target_conn_id),
            report=self.log.info,
        )
        for result in results.values():
            self.log.info("%s", result.describe())
        return {stage: asdict(result) for stage, result in results.items()}


class VerifyMemoryOperator(WhenQuietOperator):
    """Prove in copies that the memory built bit by bit equals one built at once; fails with the models that differ.

    :param is_wanted: skipped when false
    """

    template_fields: Sequence[str] = ("is_wanted",)

    def __init__(self, *, is_wanted: str | bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.is_wanted = is_wanted

    def work(self, context: Context, settings: Settings) -> dict[str, str]:
        if not as_flag(self.is_wanted):
            raise AirflowSkipException("the form asked for no proof")
        comparisons = verify(settings, report=self.log.info)
        different = [one for one in comparisons if one.verdict == "different"]
        for one in different:
            self.log.error(
                "%s differs: %s rows, rebuilt %s; first: %s", one.model, one.rows, one.rebuilt_rows, one.differences
            )
        if different:
            names = ", ".join(one.model for one in different)
            raise AirflowFailException(
                f"built bit by bit, these models hold something else than built from the log: {names}. The rows are in "
                "the log above; run rebuild_memory for all layers, and report it if it stays so"
            )
        return {one.model: one.verdict for one in comparisons}
