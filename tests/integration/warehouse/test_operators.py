"""The operators against a real PostgreSQL and warehouse: what they hand on, skip, refuse and log."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped
from airflow.sdk.observability import stats
from biomem.errors import ConfigurationError, SourceError
from biomem.parameters import adopt, load_parameters, params_hash
from biomem.settings import load_settings
from biomem.source import dsn as dsn_module
from biomem.source.watermark import complete_as_of
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import complete_stage, is_whole_run
from biomem.warehouse.economy import current_build, note_published, plan_stage
from biomem.warehouse.target_schema import ensure_target_schema
from biomem_airflow.dag_defaults import pulls
from biomem_airflow.hooks.conninfo import conninfo
from biomem_airflow.operators import begin_stage, postgres_to_duckdb
from biomem_airflow.operators.begin_stage import BeginStageOperator
from biomem_airflow.operators.duckdb_to_postgres import DuckDBToPostgresOperator
from biomem_airflow.operators.postgres_to_duckdb import PostgresToDuckDBOperator
from biomem_airflow.operators.run_facts import as_flag, as_instant

AS_OF = "2026-01-01T00:00:00+00:00"
CONTEXT = {
    "run_id": "manual__1",
    "data_interval_start": datetime(2025, 12, 31, 23, 59, 30, tzinfo=timezone.utc),
    "data_interval_end": datetime(2026, 1, 1, tzinfo=timezone.utc),
}


@pytest.fixture
def airflow_env(pg, dsn, settings, monkeypatch):
    """A source with two memories, and the connections that tasks use, with a unix socket in the extra."""
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    connection = json.dumps(
        {
            "conn_type": "postgres",
            "login": parts["user"],
            "password": "hidden-word",
            "schema": parts["dbname"],
            "port": int(parts["port"]),
            "extra": {"host": parts["host"]},
        }
    )
    monkeypatch.setenv("AIRFLOW_CONN_MEMORY_SOURCE", connection)
    monkeypatch.setenv("AIRFLOW_CONN_MEMORY_TARGET", connection)
    monkeypatch.setenv("BIOMEM_HOME", str(settings.home))
    monkeypatch.delenv("BIOMEM_SOURCE_TABLE", raising=False)
    pg.execute("create table public.memories (id text primary key, content text, occurred_at timestamptz)")
    pg.execute("insert into memories values ('a', 'x', '2025-01-01+00'), ('b', 'x', '2025-01-01+00')")
    return load_settings()


def pull(as_of=AS_OF):
    return PostgresToDuckDBOperator(task_id="pull", as_of=as_of, reconcile="False").execute(CONTEXT)


def begin(as_of=AS_OF, **options):
    options = {"stage": "short_term_memory", "agent_id": "", "full_refresh": "False", **options}
    operator = BeginStageOperator(task_id="begin", as_of=as_of, **options)
    return operator.execute(CONTEXT)


def test_a_pull_hands_on_what_it_did_and_can_be_retried(airflow_env):
    first, second = pull(), pull()
    assert json.loads(json.dumps(first)) == first
    assert (first[0]["rows_inserted"], second[0]["rows_inserted"]) == (2, 0)
    assert second[0]["watermark_before"] == first[0]["watermark_after"]
    with open_warehouse(airflow_env) as con:
        assert con.execute("select run_id, pulled_as_of from raw.pulls").fetchall() == [
            ("manual__1", datetime(2026, 1, 1, tzinfo=timezone.utc))
        ]


def test_a_pull_logs_its_data_interval_and_never_a_password(airflow_env, capfd, caplog):
    with caplog.at_level(logging.DEBUG):
        pull()
    # Airflow's logging goes to the one or the other, depending on what has configured it before
    printed = "".join(capfd.readouterr()) + caplog.text
    assert "data interval 2025-12-31 23:59:30+00:00 to 2026-01-01 00:00:00+00:00" in printed
    assert "hidden-word" not in printed


def test_a_source_is_complete_as_of_the_run_that_pulled_it_and_its_lag_is_a_gauge(airflow_env, monkeypatch):
    gauges = {}
    monkeypatch.setattr(stats, "gauge", lambda name, value, tags: gauges.update({(name, tags["source"]): value}))
    pull()
    with open_warehouse(airflow_env) as con:
        assert complete_as_of(con, "public.memories") == as_instant(AS_OF)
    assert gauges[("biomem.pull.lag_s", "public.memories")] > 86400


def test_a_source_that_is_down_is_found_out_without_keeping_others_from_the_warehouse(
    airflow_env, monkeypatch, tmp_path, caplog
):
    pull()
    monkeypatch.setenv("AIRFLOW_CONN_MEMORY_SOURCE", json.dumps({"conn_type": "postgres", "host": str(tmp_path)}))
    opened = []

    def watched(*args, **options):
        opened.append(knocked.copy())
        return open_warehouse(*args, **options)

    knocked = []

    def knock(dsn):
        knocked.append(dsn)
        return dsn_module.knock(dsn)

    monkeypatch.setattr(postgres_to_duckdb, "open_warehouse", watched)
    monkeypatch.setattr(postgres_to_duckdb, "knock", knock)
    gauges = {}
    monkeypatch.setattr(stats, "gauge", lambda name, value, tags: gauges.update({tags["source"]: value}))
    with pytest.raises(SourceError, match="does not answer"):
        pull("2026-06-01T00:00:00+00:00")
    assert opened == [knocked], "the warehouse was opened once, after the server was found to be down"
    with open_warehouse(airflow_env) as con:
        assert complete_as_of(con, "public.memories") == as_instant(AS_OF), "the window is not counted as pulled"
    assert set(gauges) == {"public.memories"}


def test_a_task_of_one_source_leaves_the_others_and_the_access_log_alone(airflow_env, pg):
    airflow_env.home.mkdir()
    (airflow_env.home / "source.yml").write_text(
        "sources: {first: {table: public.memories}, second: {table: public.more}}\n"
    )
    pg.execute(
        "create table public.more as select 'c' as id, 'x' as content, timestamptz '2025-01-01+00' as occurred_at"
    )
    ensure_target_schema(conninfo("memory_target"))
    second, first = (
        PostgresToDuckDBOperator(task_id="pull", as_of=AS_OF, **one).execute(CONTEXT) for one in reversed(pulls())
    )
    assert [result["source"] for result in second] == ["second"]
    assert [result["source"] for result in first] == ["first", "memory.access_log"]


def test_a_mapping_that_cannot_be_read_fails_the_pull_and_not_the_dag(airflow_env):
    airflow_env.home.mkdir()
    (airflow_env.home / "source.yml").write_text("sources: [")
    (only,) = pulls()
    assert only["source_name"] is None
    with pytest.raises(ConfigurationError, match="is not YAML"):
        PostgresToDuckDBOperator(task_id="pull", as_of=AS_OF, **only).execute(CONTEXT)


def test_beginning_writes_the_instant_and_the_hash_of_the_parameters(airflow_env):
    pull()
    assert begin() == {"as_of": AS_OF, "agents": 1, "sequence": 1}
    with open_warehouse(airflow_env) as con:
        assert con.execute("select run_id, as_of, params_hash, agent_id from raw.run_context").fetchall() == [
            ("manual__1", datetime(2026, 1, 1, tzinfo=timezone.utc), params_hash(airflow_env), None)
        ]


def test_an_instant_that_is_behind_skips_the_stage_and_points_to_rebuild_memory(airflow_env):
    pull()
    begin()
    with pytest.raises(AirflowSkipException, match="rebuild_memory"):
        begin("2025-06-01T00:00:00Z")


def test_an_agent_that_does_not_exist_fails_the_run(airflow_env):
    pull()
    with pytest.raises(ConfigurationError, match="no memories of agent 'nobody'"):
        begin(agent_id="nobody")


def test_publishing_completes_the_run(airflow_env, pg):
    pull()
    with pytest.raises(AirflowSkipException, match="run short_term_memory first"):
        begin(stage="consolidation")
    begin()
    with open_warehouse(airflow_env) as con:
        con.execute(
            "create table ltm_memories (memory_id varchar, agent_id varchar, promoted_at timestamptz, "
            "consolidation double, stability_days double, replays integer)"
        )
        con.execute("create table stg_memories (memory_id varchar, is_live boolean)")
        con.execute(
            "create table memory_associations (agent_id varchar, memory_a varchar, memory_b varchar, trace double, "
            "last_coactive_at timestamptz, coactivations integer)"
        )
        con.execute(
            "create table concepts (agent_id varchar, concept varchar, kind varchar, memories integer, "
            "first_mentioned_at timestamptz, last_mentioned_at timestamptz)"
        )
        con.execute(
            "create table memory_replay (memory_id varchar, cycle_at timestamptz, agent_id varchar, priority double, "
            "retention double, need double, stability_days double, consolidation double, is_current boolean)"
        )
        con.execute("insert into concepts values ('default', 'tea', 'term', 2, '2025-01-01', '2025-01-01')")
    begin(stage="consolidation")
    result = DuckDBToPostgresOperator(task_id="publish", stage="consolidation").execute(CONTEXT)
    assert json.loads(json.dumps(result)) == result
    parameters = load_parameters(airflow_env)
    assert result["rows_written"] == {
        "long_term": 0,
        "replays": 0,
        "associations": 0,
        "concepts": 1,
        "parameters": len(parameters),
    }
    assert pg.execute("select count(*) from memory.parameters").fetchone() == (len(parameters),)
    assert pg.execute("select run_id, stage from memory.runs").fetchall() == [("manual__1", "consolidation")]
    with open_warehouse(airflow_env) as con:
        assert con.execute(
            "select completed_sequence = begun_sequence from raw.agent_clock where stage = 'consolidation'"
        ).fetchone() == (True,)


def test_an_idle_window_leaves_a_heartbeat_and_no_other_trace(airflow_env, pg):
    pull()
    begin()
    with open_warehouse(airflow_env) as con:
        for name, columns in {
            "memory_traces": "memory_id varchar, agent_id varchar, repeat_of varchar, stability_days double, "
            "difficulty double, last_accessed_at timestamptz, access_count integer, is_long_term boolean, "
            "is_live boolean, is_seen boolean, sequence bigint",
            "stg_memories": "memory_id varchar, session_id varchar, speaker varchar, content varchar, "
            "occurred_at timestamptz, arousal double, importance double, tags varchar[], is_live boolean",
            "memory_supersessions": "memory_id varchar, is_current boolean, is_superseded boolean, sequence bigint",
            "wm_active_context": "agent_id varchar, rank integer, memory_id varchar, activation double, "
            "last_accessed_at timestamptz",
            "stm_windows": "agent_id varchar, window_start timestamptz, memory_id varchar, is_accessed boolean, "
            "is_in_working_memory boolean, activation double, is_current boolean, sequence bigint",
        }.items():
            con.execute(f"create table {name} ({columns})")
        plan_stage(con, "short_term_memory", current_build(con, airflow_env), is_whole=False)
    DuckDBToPostgresOperator(task_id="publish", stage="short_term_memory").execute(CONTEXT)
    runs = "select run_id, changed_tables from memory.runs order by sequence"
    for number in (2, 3):
        later = datetime(2026, 1, 1, tzinfo=timezone.utc) + number * timedelta(minutes=10)
        pull(later.isoformat())
        operator = BeginStageOperator(task_id="begin", stage="short_term_memory", as_of=later.isoformat())
        operator.agent_id, operator.full_refresh = "", "False"
        begun = operator.execute({**CONTEXT, "run_id": f"manual__{number}"})
        assert begun == {"as_of": later.isoformat(), "agents": 0, "sequence": 0}
        first, last = pg.execute(runs).fetchall()
        assert first[0] == "manual__1"
        assert last == (f"manual__{number}", ["sources"]), "the heartbeat takes the place of the one before it"
        assert pg.execute("select complete_as_of from memory.sources").fetchone() == (later,)
    with open_warehouse(airflow_env) as con:
        assert con.execute("select run_id from raw.run_context").fetchall() == [("manual__1",)]
    # whoever put the target back to an earlier state gets a whole window
    pg.execute("delete from memory.runs where run_id = 'manual__1'")
    assert begin(later.isoformat())["sequence"] > 0


class Table(EmptyOperator):
    """In the place of a model that stores rows (RunModelOperator)."""

    may_be_left_out = False


class Try:
    """What Airflow tells a task of itself: which try it is, and how many tables a try before it has left out."""

    def __init__(self, number=1, left_out=0):
        self.try_number, self.left_out = number, left_out

    def xcom_push(self, key, value):
        pass

    def get_ti_count(self, *, task_ids, states, **_):
        assert (task_ids, states) == (["memory_traces", "stm_windows"], ["skipped"])
        return self.left_out


def test_tables_are_left_out_together_and_a_later_try_publishes_nothing_without_them(airflow_env, pg, monkeypatch):
    skipped = []
    monkeypatch.setattr(begin_stage, "_skip_at_once", skipped.append)
    with DAG("windows", schedule=None):
        operator = BeginStageOperator(task_id="begin", stage="short_term_memory", agent_id="", full_refresh="False")
        operator >> [Table(task_id="memory_traces"), Table(task_id="stm_windows"), EmptyOperator(task_id="publish")]

    def remember(memory_id, after_s):
        pg.execute("insert into memories values (%s, %s, %s)", [memory_id, memory_id, instant(after_s)])

    def instant(after_s):
        return datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=after_s)

    def begin_window(number, tried=None):
        operator.as_of = instant(30 * number).isoformat()
        pull(operator.as_of)
        return operator.execute({**CONTEXT, "run_id": f"manual__{number}", "ti": tried or Try()})

    def publish(number, *tables):
        with open_warehouse(airflow_env) as con:
            for table in tables:
                con.execute(f"create table {table} (x integer)")
            complete_stage(con, "short_term_memory", f"manual__{number}")
            note_published(con, "short_term_memory")

    remember("c", -10)
    begin_window(1)
    publish(1, "memory_traces")
    begin_window(2)
    publish(2)
    assert begin_window(3)["sequence"] == 3, "one table is not there, so the other is computed too"
    publish(3, "stm_windows")
    assert begin_window(4)["sequence"] == 4, "a table has come since the views were made"
    publish(4)
    with pytest.raises(DownstreamTasksSkipped) as left_out:
        begin_window(5)
    assert left_out.value.tasks == ["memory_traces", "stm_windows"]
    remember("d", 140)
    with pytest.raises(AirflowSkipException, match="the next run computes them"):
        begin_window(5, Try(number=2, left_out=2))
    assert skipped == [{"memory_traces", "stm_windows", "publish"}]
    begin_window(6)
    with open_warehouse(airflow_env) as con:
        new = con.execute(
            "select memory_id from raw.memories join raw.agent_clock using (agent_id) where batch_id > batch_from"
        )
        assert new.fetchall() == [("d",)], "the next window takes up what came in"


def test_after_a_change_of_parameters_a_stage_is_built_anew_until_a_run_is_completed(airflow_env):
    def is_whole(run_id, **options):
        with open_warehouse(airflow_env) as con:
            begin(**options)
            con.execute("update raw.run_context set run_id = ?", [run_id])
            return is_whole_run(con, "short_term_memory")

    def complete(run_id):
        with open_warehouse(airflow_env) as con:
            complete_stage(con, "short_term_memory", run_id)

    pull()
    with open_warehouse(airflow_env) as con:
        agents = [agent for (agent,) in con.execute("select agent_id from raw.agents").fetchall()]
    assert not is_whole("first")
    complete("first")
    adopt(airflow_env, {"forgetting_threshold": 0.5}, at=datetime.now(timezone.utc), by="ada", reason="a try")
    assert not is_whole("of one agent", agent_id=agents[0])
    complete("of one agent")
    assert is_whole("dies")
    assert is_whole("second")
    complete("second")
    assert not is_whole("third")


def test_a_connection_of_another_type_is_refused(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MEMORY_SOURCE", "mysql://u:hidden-word@h/d")
    with pytest.raises(ConfigurationError, match="of type 'mysql'") as caught:
        conninfo("memory_source")
    assert "hidden-word" not in str(caught.value)


def test_a_source_that_is_not_there_fails_the_task_in_plain_words(airflow_env, monkeypatch, tmp_path):
    extra = json.dumps({"conn_type": "postgres", "password": "hidden-word", "extra": {"host": str(tmp_path)}})
    monkeypatch.setenv("AIRFLOW_CONN_MEMORY_SOURCE", extra)
    with pytest.raises(SourceError, match="does not answer") as caught:
        pull()
    assert "hidden-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("operator", "templated"),
    [
        (PostgresToDuckDBOperator(task_id="t"), {"source_conn_id", "target_conn_id", "as_of"}),
        (BeginStageOperator(task_id="t", stage="s"), {"stage", "as_of", "agent_id", "full_refresh"}),
        (DuckDBToPostgresOperator(task_id="t", stage="s"), {"stage", "target_conn_id"}),
    ],
)
def test_what_a_run_decides_is_a_template_field(operator, templated):
    assert templated <= set(operator.template_fields)
    assert all(hasattr(operator, field) for field in operator.template_fields)


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00Z", "2026-01-01", "2026-01-01T01:00:00+01:00"])
def test_an_instant_is_read_as_people_write_it(text):
    assert as_instant(text) == datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_what_is_no_instant_or_flag_is_refused():
    with pytest.raises(ConfigurationError, match="'tomorrow' is no instant"):
        as_instant("tomorrow")
    with pytest.raises(ConfigurationError, match="neither True nor False"):
        as_flag("perhaps")
