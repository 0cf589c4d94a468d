"""What people start by hand, as tasks: against a real PostgreSQL and warehouse."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import SimpleNamespace

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException
from biomem.overrides import read_changes
from biomem.parameters import load_parameters, params_hash
from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import begin_stage
from biomem.warehouse.rebuild import run_stage
from biomem.whatif import record
from biomem.whatif.outcome import Difference
from biomem.whatif.trial import Question, Trial
from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.operators.forget_hard import ForgetHardOperator
from biomem_airflow.operators.postgres_to_duckdb import PostgresToDuckDBOperator
from biomem_airflow.operators.rebuild_memory import RebuildMemoryOperator
from biomem_airflow.operators.what_if import OfferParametersOperator, PromoteParametersOperator
from biomem_airflow.operators.when_quiet import WhenQuietOperator

AS_OF = datetime(2026, 1, 1, tzinfo=timezone.utc)
RUN = "manual__what_if"
ANSWER = {
    "chosen_options": ["Approve"],
    "params_input": {},
    "responded_at": datetime(2026, 1, 2, tzinfo=timezone.utc),
    "responded_by_user": {"id": "1", "name": "ada"},
}


def context(*, running=0, answer=None, **form):
    ti = SimpleNamespace(
        xcom_pull=lambda task_ids: answer, get_dr_count=lambda dag_id, states: running if "running" in states else 0
    )
    dag_run = SimpleNamespace(run_after=AS_OF, run_id=RUN, dag_id="what_if", triggering_user_name="milo")
    return {"run_id": RUN, "ti": ti, "dag_run": dag_run, "params": form}


@pytest.fixture
def home(pg, dsn, settings, monkeypatch):
    """A source of five memories that was pulled, and Airflow's connections to it."""
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    connection = {"conn_type": "postgres", "login": parts["user"], "schema": parts["dbname"]}
    connection |= {"port": int(parts["port"]), "extra": {"host": parts["host"]}}
    monkeypatch.setenv("AIRFLOW_CONN_MEMORY_SOURCE", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_CONN_MEMORY_TARGET", json.dumps(connection))
    monkeypatch.setenv("BIOMEM_HOME", str(settings.home))
    monkeypatch.setenv("BIOMEM_MAX_MEMORY", "1GB")
    monkeypatch.delenv("BIOMEM_SOURCE_TABLE", raising=False)
    pg.execute("create table public.memories (id text primary key, content text, occurred_at timestamptz)")
    pg.execute(
        "insert into memories select 'm' || n, 'the cat sleeps in box ' || n, timestamptz '2025-12-31 23:58:00+00' "
        "+ n * interval '5 seconds' from generate_series(1, 5) as n"
    )
    found = load_settings()
    PostgresToDuckDBOperator(task_id="pull", as_of=AS_OF.isoformat()).execute(context())
    return found


class Noting(WhenQuietOperator):
    def work(self, context, settings):
        return "worked"


def test_nothing_is_done_in_the_midst_of_a_stage_and_a_run_that_has_died_is_not_waited_for(home):
    operator = Noting(task_id="note")
    assert operator.execute(context(running=1)) == "worked", "nothing was begun"
    with open_warehouse(home) as con:
        begin_stage(con, "short_term_memory", run_id="r", as_of=AS_OF, params_hash=params_hash(home))
    with pytest.raises(AirflowRescheduleException):
        operator.execute(context(running=1))
    assert operator.execute(context(running=0)) == "worked"


def trial(**parameters):
    now = {"state": "live", "demoted_at": None}
    then = {"state": "forgotten", "demoted_at": AS_OF}
    return Trial(
        question=Question({name: sides["then"] for name, sides in parameters.items()}),
        as_of=AS_OF,
        params_hash="p",
        parameters=parameters,
        counts={"live": {"now": 5, "then": 4}},
        differences={"forgotten": 1, "kept": 0},
        examples=[Difference("forgotten", "m1", "default", now, then)],
    )


def test_an_approved_trial_becomes_the_pipelines_on_record_and_the_memory_is_built_anew_with_it(home, pg):
    run_stage(home, "short_term_memory", AS_OF, "first")
    record.save(conninfo("memory_target"), RUN, trial(working_memory_capacity={"now": 7, "then": 2}), asked_by="milo")
    promote = PromoteParametersOperator(task_id="promote", approval_task_id="approve")
    promoted = promote.execute(context(answer=ANSWER))
    assert promoted == {"working_memory_capacity": 2}
    assert load_parameters(home)["working_memory_capacity"].value == 2
    (change,) = read_changes(home)
    assert (change.by, change.reason) == ("ada", f"approved after the trial {RUN}")
    held = pg.execute("select memory_id from memory.working_memory order by rank").fetchall()
    assert len(held) == 2
    assert pg.execute("select decision, decided_by, asked_by from memory.what_ifs").fetchall() == [
        ("promoted", "ada", "milo")
    ]
    assert pg.execute("select value from memory.parameters where name = 'working_memory_capacity'").fetchone() == (2,)

    # and a rebuild of that one layer publishes what it finds
    with open_warehouse(home) as con:
        con.execute("delete from memory_traces where memory_id = 'm5'")
    built = RebuildMemoryOperator(task_id="rebuild", as_of="", layer="short_term_memory").execute(context())
    assert list(built) == ["short_term_memory"]
    assert pg.execute("select count(*) from memory.memories").fetchone() == (5,)
    with pytest.raises(AirflowFailException, match="leave out as_of, or build all"):
        RebuildMemoryOperator(task_id="rebuild", as_of=AS_OF.isoformat(), layer="consolidation").execute(context())
    with pytest.raises(AirflowFailException, match="consolidation has not run yet"):
        RebuildMemoryOperator(task_id="rebuild", as_of="", layer="consolidation").execute(context())


def test_a_rejected_trial_changes_nothing_and_says_so(home, pg):
    record.save(conninfo("memory_target"), RUN, trial(working_memory_capacity={"now": 7, "then": 2}), asked_by=None)
    offer = OfferParametersOperator(task_id="approve", subject="?")
    offer.execute_complete(context(), {**ANSWER, "chosen_options": ["Reject"], "responded_by_user": None})
    assert pg.execute("select decision, decided_by from memory.what_ifs").fetchall() == [("rejected", "nobody in time")]
    assert not home.parameters_path.exists()


def test_a_trial_is_kept_once_and_goes_with_the_memory_that_it_names(home, pg):
    for _ in range(2):
        record.save(
            conninfo("memory_target"), RUN, trial(working_memory_capacity={"now": 7, "then": 2}), asked_by="milo"
        )
    assert pg.execute("select count(*) from memory.what_if_memories").fetchone() == (1,)
    done = ForgetHardOperator(task_id="forget").execute(
        context(ids=["m1"], reason="asked to", with_repeats=False, skip_vacuum=True)
    )
    assert done["forgotten"] == ["m1"]
    assert done["still_in_source"][0]["ids"] == ["m1"]
    assert pg.execute("select count(*) from memory.what_if_memories").fetchone() == (0,)
    with open_warehouse(home) as con:
        (receipt,) = con.execute("select requested_by, reason from raw.receipts").fetchall()
    assert receipt == ("milo", "asked to")


def test_an_id_that_is_not_known_fails_after_the_others_are_gone(home):
    form = {"ids": ["m2", "m22"], "reason": "asked to", "with_repeats": False, "skip_vacuum": True}
    with pytest.raises(AirflowFailException, match=r"1 memories were removed\. Not known.*m22"):
        ForgetHardOperator(task_id="forget").execute(context(**form))


def test_a_full_backfill_finds_what_a_cursor_cannot_see(home, dsn):
    with open_warehouse(home) as con:
        con.execute("update raw.memories set content = 'damaged' where memory_id = 'm3'")
    plain, full = (
        PostgresToDuckDBOperator(
            task_id="backfill", source_name="", as_of=AS_OF.isoformat(), reconcile=True, is_full=is_full
        ).execute(context())
        for is_full in ("False", "True")
    )
    assert (plain[0]["rows_updated"], full[0]["rows_updated"]) == (0, 1)
    assert full[0]["full_because"] == "somebody asked for it"
