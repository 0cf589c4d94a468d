"""The replayed statements are the shipped models: what they make of a log is what dbt makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import STAGES, begin_stage, complete_stage
from biomem.warehouse.transform import run_models
from efforts import PATIENCE_S
from event_logs import DAY_S, LONG, Access, Log, Memory, instant, pull
from states import difference, state

if TYPE_CHECKING:
    from pathlib import Path

    from recorded_models import World

pytestmark = pytest.mark.timeout(PATIENCE_S)

FIRST = Log(
    tuple(
        Memory(f"m{n}", "ada", instant(n * 40), session_id="s", content=text, tags=("garden", "Anna"))
        for n, text in enumerate([LONG, LONG.upper(), "Noor lives in Leiden.", "Noor lives in Utrecht.", "note", "n"])
    ),
    tuple(Access(f"a{n}", f"m{n % 4}", "ada", instant(n * DAY_S / 2), "retrieve", 3) for n in range(12)),
)
SECOND = Log(
    (Memory("late", "ada", instant(100), session_id="s", content="told late"),),
    (
        Access("b", "m4", "ada", instant(5 * DAY_S), "restudy", 3),
        Access("c", "m0", "ada", instant(300 * DAY_S - 60), "retrieve", 3),
    ),
)


def test_the_replayed_statements_make_of_a_log_what_dbt_makes_of_it(world: World, tmp_path: Path) -> None:
    world.renew()
    settings = replace(load_settings(tmp_path, {}), threads=1, max_memory="1GB")
    for log, day in ((FIRST, 20), (SECOND, 300)):
        world.pull(log).live_to(instant(day * DAY_S))
        with open_warehouse(settings) as con:
            pull(con, log)
        for stage in (*STAGES, STAGES[0]):
            with open_warehouse(settings) as con:
                begin_stage(con, stage, run_id="run", as_of=instant(day * DAY_S), params_hash="test")
            run_models(settings, "--select", f"tag:{stage}")
            with open_warehouse(settings) as con:
                complete_stage(con, stage, "run")
    models = world.recording.stages
    replayed = state(world.con, models)
    with open_warehouse(settings) as con:
        assert difference(replayed, state(con, models)) is None
    empty = sorted(model for model, rows in replayed.items() if not rows)
    assert not empty, "the comparison would say nothing of these"
