"""A model of a window does not ask again what its table is like, where that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem.warehouse.context import AWAKE
from dbt.cli.main import dbtRunner
from lives import Life, day

if TYPE_CHECKING:
    import pytest

MODEL = "memory_salience"
MEMORIES = f"select memory_id from {MODEL} order by memory_id"  # noqa: S608


def test_the_contract_is_checked_until_a_run_of_the_same_project_was_published(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _listen(monkeypatch)

    def window(at: float, *, complete: bool = True) -> bool:
        life.pull([{"memory_id": f"m{at}", "content": f"note {at}", "occurred_at": day(at)}])
        asked.clear()
        life.run(AWAKE, day(at), select=["stg_clock", "stg_memories", MODEL], complete=complete)
        assert life.value(f"select count(*) from {MODEL} where memory_id = ?", f"m{at}") == 1  # noqa: S608
        return any(sql.lstrip().startswith("DESCRIBE") for sql in asked)

    assert window(1)
    assert window(2), "there were no tables yet when the first began"
    assert not window(3)
    assert not window(4, complete=False)
    assert window(5)
    assert not window(6)
    with life.open() as con:
        con.execute("update raw.stage_builds set project_hash = 'of another project'")
    assert window(7)
    assert not window(8)
    with life.open() as con:
        con.execute(f"drop table {MODEL}")
    assert window(9)
    assert life.rows(MEMORIES) == [(f"m{at}",) for at in range(1, 10)]


def _listen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that dbt sends for the model from now on."""
    heard: list[str] = []

    def hear(event: Any) -> None:
        if event.info.name == "SQLQuery" and event.data.node_info.node_name == MODEL:
            heard.append(event.data.sql.partition("*/")[2])

    class Heard(dbtRunner):
        def __init__(self, **options: Any) -> None:
            super().__init__(callbacks=[hear], **options)

    monkeypatch.setattr("dbt.cli.main.dbtRunner", Heard)
    return heard
