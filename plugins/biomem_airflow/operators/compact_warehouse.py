"""The warehouse's file, brought to what its tables need."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from biomem.settings import load_settings
from biomem.warehouse.compact import compact

if TYPE_CHECKING:
    from airflow.sdk import Context


class CompactWarehouseOperator(BaseOperator):
    """Checkpoint the warehouse's file, and write it anew where a third of it is free."""

    ui_color = "#eeeeee"

    def execute(self, context: Context) -> dict[str, Any]:
        done = compact(load_settings(), purpose=f"task {self.task_id}")
        self.log.info("%s", done.describe())
        return asdict(done)
