"""The warehouse's file, brought to what its tables need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse

if TYPE_CHECKING:
    from airflow.sdk import Context


class CheckpointWarehouseOperator(BaseOperator):
    """Write the warehouse's log of changes into its file and give back the blocks at the end that nothing uses."""

    ui_color = "#eeeeee"

    def execute(self, context: Context) -> dict[str, Any]:
        settings = load_settings()
        before = settings.warehouse_path.stat().st_size if settings.warehouse_path.exists() else 0
        with open_warehouse(settings, purpose=f"task {self.task_id}") as con:
            con.execute("vacuum")
            con.execute("force checkpoint")
            row = con.execute("select total_blocks, free_blocks from pragma_database_size()").fetchone()
        assert row is not None
        after = settings.warehouse_path.stat().st_size
        sizes = (before / 1024**2, after / 1024**2)
        self.log.info("%.1f MB before, %.1f MB now; %s of %s blocks free", *sizes, row[1], row[0])
        return {"bytes_before": before, "bytes": after, "blocks": row[0], "free_blocks": row[1]}
