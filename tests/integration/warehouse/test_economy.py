"""What a run may leave out: only what would come out the same."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from biomem.warehouse.context import begin_stage, complete_stage
from biomem.warehouse.economy import Build, current_build, note_published, plan_stage, project_hash, quiet_for

T = datetime(2026, 1, 1, tzinfo=timezone.utc)
WINDOW = timedelta(seconds=30)
ATTENTION = timedelta(seconds=330)
BUILD = Build("project", "p")
STAGE = "short_term_memory"
EARLIER = T - 2 * ATTENTION


def remember(con, memory_id, occurred_at, batch_id):
    con.execute("insert or ignore into raw.agents values ('a')")
    con.execute(
        "insert into raw.memories by name select 's' as source_name, ? as memory_id, 'a' as agent_id, 'x' as content, "
        "? as occurred_at, 0 as text_arousal, ? as batch_id",
        [memory_id, occurred_at, batch_id],
    )
    con.execute(
        "insert into raw.pulls values (?, 's', null, null, null, '1', 1, 0, 0, 0) on conflict do nothing", [batch_id]
    )


def window(con, run_id, as_of, *, stage=STAGE, published=True, build=BUILD, is_whole=False):
    begin_stage(con, stage, run_id=run_id, as_of=as_of, params_hash=build.params_hash)
    plan = plan_stage(con, stage, build, is_whole=is_whole)
    complete_stage(con, stage, run_id)
    if published:
        note_published(con, stage)
    return plan


@pytest.fixture
def quiet(con):
    """A warehouse after a window in which an old memory was published."""
    remember(con, "m", EARLIER, 1)
    window(con, "r1", T)
    return con


def silence(con, as_of=T + WINDOW, build=BUILD):
    return quiet_for(con, as_of=as_of, build=build)


def test_a_window_to_which_nothing_is_new_knows_for_how_long_it_has_been_quiet(quiet):
    assert silence(quiet) == T - EARLIER
    assert silence(quiet, T) == T - EARLIER
    assert silence(quiet, T + timedelta(days=30)) == T - EARLIER
    window(quiet, "r2", T + WINDOW)
    assert silence(quiet, T + 2 * WINDOW) == T + WINDOW - EARLIER


def test_a_warehouse_without_a_window_is_never_quiet(con):
    assert silence(con) is None
    remember(con, "m", EARLIER, 1)
    assert silence(con) is None


def test_where_nothing_has_befallen_any_memory_yet_it_was_always_quiet(con):
    remember(con, "m", T + timedelta(days=1), 1)
    window(con, "r1", T)
    assert silence(con) == timedelta.max


@pytest.mark.parametrize(
    "happen",
    [
        lambda con: remember(con, "n", EARLIER, 2),
        lambda con: con.execute("update raw.memories set deleted_at = now(), batch_id = 2"),
        lambda con: con.execute("insert into raw.revisions values ('m', 1, 'h', ?, 2)", [EARLIER]),
        lambda con: con.execute("insert into raw.access_log values ('1', 'm', 'a', ?, 'retrieve', 3, 2)", [EARLIER]),
        lambda con: con.execute("insert into raw.agents values ('b')"),
        lambda con: window(con, "c1", T, stage="consolidation"),
        lambda con: begin_stage(con, "consolidation", run_id="c1", as_of=T, params_hash="p"),
        lambda con: (window(con, "c1", T + 2 * WINDOW, stage="consolidation"), window(con, "r2", T)),
        lambda con: begin_stage(con, STAGE, run_id="died", as_of=T, params_hash="p"),
        lambda con: window(con, "rebuilt", T, published=False),
        lambda con: begin_stage(con, STAGE, run_id="one", as_of=T, params_hash="p", agent_id="a"),
    ],
    ids=[
        "a new memory",
        "a deletion",
        "an edit",
        "an access",
        "a new agent",
        "replays to take up",
        "a cycle of sleep that is under way, or died",
        "a cycle of sleep that is still to come",
        "a run that died",
        "a run that was not published",
        "a run of one agent",
    ],
)
def test_what_a_window_has_to_take_up_breaks_the_silence(quiet, happen):
    happen(quiet)
    assert silence(quiet) is None


def test_it_is_quiet_from_the_last_event_on(con):
    remember(con, "m", T - timedelta(seconds=10), 1)
    window(con, "r1", T)
    assert silence(con) == timedelta(seconds=10)
    window(con, "r2", T + ATTENTION)
    assert silence(con, T + ATTENTION + WINDOW) == timedelta(seconds=10) + ATTENTION


@pytest.mark.parametrize(
    "ahead",
    [
        lambda con, at: remember(con, "n", at, 1),
        lambda con, at: con.execute("insert into raw.access_log values ('1', 'm', 'a', ?, 'retrieve', 3, 1)", [at]),
        lambda con, at: con.execute("insert into raw.revisions values ('m', 1, 'h', ?, 1)", [at]),
    ],
    ids=["a memory", "an access", "an edit"],
)
def test_what_was_dated_ahead_is_taken_up_when_its_time_has_come(quiet, ahead):
    come = T + timedelta(hours=1)
    ahead(quiet, come)
    assert silence(quiet, come - timedelta(microseconds=1)) == T - EARLIER
    assert silence(quiet, come) is None


def test_a_run_of_one_agent_makes_no_silence_for_all(con):
    remember(con, "m", EARLIER, 1)
    begin_stage(con, STAGE, run_id="one", as_of=T, params_hash="p", agent_id="a")
    plan_stage(con, STAGE, BUILD, is_whole=False)
    complete_stage(con, STAGE, "one")
    note_published(con, STAGE)
    assert silence(con) is None


def test_other_parameters_another_project_or_an_instant_before_are_not_quiet(quiet):
    assert silence(quiet, build=Build("project", "q")) is None
    assert silence(quiet, build=Build("changed", "p")) is None
    assert silence(quiet, T - WINDOW) is None


def test_views_that_stand_and_tests_that_passed_within_the_hour_are_left_out(quiet):
    quiet.execute("create view stg_memories as select 1 as x")
    plan = window(quiet, "r2", T + WINDOW)
    assert (plan.models, plan.is_tested) == ({"stg_memories"}, True)
    assert not window(quiet, "r3", T + timedelta(hours=1)).is_tested
    assert window(quiet, "r4", T + timedelta(hours=1) + WINDOW).is_tested


def test_a_window_to_which_nothing_is_new_leaves_out_tables_too(quiet):
    quiet.execute("create view stg_memories as select 1 as x; create table memory_traces (x integer)")
    begin_stage(quiet, STAGE, run_id="r2", as_of=T + WINDOW, params_hash=BUILD.params_hash)
    plan = plan_stage(quiet, STAGE, BUILD, is_whole=False, is_quiet=True)
    assert plan.models == {"stg_memories", "memory_traces"}
    assert not plan_stage(quiet, STAGE, BUILD, is_whole=True, is_quiet=True).models


def test_nothing_is_left_out_after_a_change_or_a_run_that_was_not_published_or_when_all_is_asked_for(quiet):
    quiet.execute("create view stg_memories as select 1 as x")
    whole = (frozenset(), False)
    for number, options in enumerate(
        ({"build": Build("changed", "p")}, {"build": Build("changed", "q")}, {"is_whole": True})
    ):
        plan = window(quiet, f"s{number}", T + WINDOW, **options)
        assert (plan.models, plan.is_tested) == whole, options
    window(quiet, "rebuilt", T + WINDOW, published=False)
    plan = window(quiet, "s4", T + WINDOW)
    assert (plan.models, plan.is_tested) == whole


def test_a_window_makes_its_views_again_when_a_table_of_a_later_stage_was_built_since(con, settings):
    def built():
        return current_build(con, settings)

    remember(con, "m", EARLIER, 1)
    con.execute("create view wm_active_context as select 1 as x; create table memory_traces (x integer)")
    window(con, "r1", T, build=built())
    assert "wm_active_context" in window(con, "r2", T + WINDOW, build=built()).models
    con.execute("create table memory_associations (x integer)")
    assert silence(con, T + 2 * WINDOW, build=built()) is None
    assert not window(con, "r3", T + 2 * WINDOW, build=built()).models
    assert "wm_active_context" in window(con, "r4", T + 3 * WINDOW, build=built()).models


def test_the_hash_of_the_project_follows_its_files(settings, tmp_path):
    from dataclasses import replace

    project = replace(settings, project_root=tmp_path)
    model = tmp_path / "dbt" / "models" / "one.sql"
    model.parent.mkdir(parents=True)
    model.write_text("select 1")
    first = project_hash(project)
    (tmp_path / "dbt" / "target").mkdir()
    (tmp_path / "dbt" / "target" / "made.sql").write_text("select 1")
    assert project_hash(project) == first
    model.write_text("select 2")
    assert project_hash(project) != first
