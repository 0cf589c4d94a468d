"""Vectors for the memories that have come in."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException
from biomem.errors import BiomemError
from biomem.recall.embedding import embed_new
from biomem.settings import load_settings

from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.preload import parsed_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context


# as `nice` counts: 19 is the least
NICENESS = 10


class EmbedMemoriesOperator(BaseOperator):
    """Embed the published texts that have no vector yet, newest first; what takes too long waits for the next run.

    Recall does without vectors where there are none, so a model that fails skips the task, which says why. A window
    that comes meanwhile has the processor first.

    :param target_conn_id: connection to the database with schema `memory`
    """

    template_fields: Sequence[str] = ("target_conn_id",)
    ui_color = "#d9f2df"

    def __init__(self, *, target_conn_id: str = "memory_target", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_conn_id = target_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        if parsed_manifest() is not None:
            # a process of the task's own, forked by the scheduler
            os.nice(NICENESS)
        try:
            result = embed_new(load_settings(), conninfo(self.target_conn_id))
        except BiomemError as error:
            raise AirflowSkipException(f"recalling by words alone: {error}") from error
        self.log.info("%s", result.describe())
        return asdict(result)
