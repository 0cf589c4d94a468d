"""What sleep has to send is found in slices; the publication believes it only where nothing came between."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from biomem.errors import PublishError
from biomem.warehouse import ahead as module
from biomem.warehouse.ahead import compare_ahead
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import AWAKE, begin_stage
from biomem.warehouse.publish import PublishResult, publish_stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biomem.settings import Settings
    from biomem.warehouse.ahead import Compared

T = datetime(2026, 1, 1, tzinfo=timezone.utc)
WEEK, NIGHT = "weekly_homeostasis", "nightly_decay"
# agents whose ids must fall into one slice, whether they are read in a model or in the key of what was sent
HOSTILE = ("ada", 'it\'s "bo"', "c:\\new\tline\n", "\u00c9mile \U0001f98a", "", "{{ 1 }}", '["d"]')
MODELS = """
    create table memory_associations as
        select agent_id, 'm' || n as memory_a, 'n' || n as memory_b, n / 8 as trace,
            timestamptz '2025-01-01' as last_coactive_at, 1::bigint as coactivations
        from agents, range(4) numbers(n);
    create table association_homeostasis as
        select agent_id, memory_a as memory_id, memory_b as associated_memory_id, false as is_pruned, last_coactive_at
        from memory_associations union all by name
        select agent_id, memory_b as memory_id, memory_a as associated_memory_id, false as is_pruned, last_coactive_at
        from memory_associations;
    create table ltm_semantic_network as
        select agent_id, 'concept' as relation, 'tea' as source_id, 'm' || n as target_id, .5::double as strength,
            1::bigint as community_id
        from agents, range(3) numbers(n);
    create table gists as
        select agent_id, 1::bigint as community_id, 'm1' as medoid_memory_id, .5::double as medoid_centrality,
            ['tea', agent_id] as terms, 2::bigint as concepts, 3::bigint as memories
        from agents;
"""
NIGHTS_MODELS = """
    insert into raw.memories (source_name, memory_id, agent_id, content, occurred_at, batch_id)
        select 'test', 'm' || n, 'ada', '', timestamptz '2025-01-01', 1 from range(24) numbers(n);
    create table stg_memories as
        select memory_id, null::varchar as session_id, null::varchar as speaker, content, occurred_at,
            .5::double as arousal, .5::double as importance, []::varchar[] as tags, true as is_live
        from raw.memories;
    create table memory_supersessions
        (memory_id varchar, is_current boolean, is_superseded boolean, sequence bigint);
    create table memory_traces as
        select memory_id, agent_id, null::varchar as repeat_of, 2::double as stability_days, 5::double as difficulty,
            occurred_at as last_accessed_at, 1 as access_count, false as is_long_term, true as is_live,
            true as is_seen, 1::bigint as sequence
        from raw.memories;
    create table memory_retention as
        select memory_id, true as is_forgotten, timestamptz '2025-12-01' as demoted_at from raw.memories;
    create table memory_ledger (
        decision_id varchar, memory_id varchar, other_memory_id varchar, agent_id varchar, stage varchar,
        decision varchar, decided_at timestamptz, inputs varchar, threshold double, result varchar, revises varchar,
        is_current boolean
    );
    create table memory_health
        (agent_id varchar, layer varchar, metric varchar, measured_at timestamptz, value double);
"""
ROWS = {"associations": 4 * len(HOSTILE), "semantic_network": 3 * len(HOSTILE), "gists": len(HOSTILE)}


@pytest.fixture
def week(settings: Settings, dsn: str) -> Settings:
    """A week that is published, and another one begun."""
    with open_warehouse(settings) as con:
        con.execute("create temp table agents (agent_id varchar)")
        con.executemany("insert into agents values (?)", [[agent] for agent in HOSTILE])
        con.execute(MODELS)
        con.execute(
            "insert into raw.memories (source_name, memory_id, agent_id, content, occurred_at, batch_id) "
            "select 'test', 'm' || n, 'ada', '', $1, 1 from range(6) numbers(n)",
            [T],
        )
    for stage in (AWAKE, "consolidation", WEEK):
        _begin(settings, stage, "first")
    assert _publish(settings, dsn, "first").rows_written == ROWS
    _begin(settings, WEEK, "second")
    return settings


def _begin(settings: Settings, stage: str, run_id: str, *, full_refresh: bool = False) -> None:
    with open_warehouse(settings) as con:
        begun = begin_stage(con, stage, run_id=run_id, as_of=T, params_hash="p", full_refresh=full_refresh)
    assert begun.status == "ready"


def _ahead(settings: Settings, dsn: str, run_id: str = "second", **options: Any) -> Mapping[str, Compared]:
    return compare_ahead(settings, WEEK, dsn=dsn, run_id=run_id, memories_at_once=2, **options)


def _publish(settings: Settings, dsn: str, run_id: str, ahead: Mapping[str, Compared] | None = None) -> PublishResult:
    with open_warehouse(settings) as con:
        return publish_stage(con, WEEK, dsn=dsn, run_id=run_id, ahead=ahead)


def _change(settings: Settings, statements: str) -> None:
    with open_warehouse(settings) as con:
        con.execute(statements)


def test_the_rows_that_slices_found_different_are_sent_and_no_others(week: Settings, dsn: str) -> None:
    _change(
        week,
        """
        update memory_associations set trace = 9 where memory_a = 'm2';
        delete from memory_associations where memory_a = 'm3';
        insert into ltm_semantic_network values ('of nobody', 'concept', 'rain', 'm1', .25, 2);
        update association_homeostasis set is_pruned = true where memory_id in ('m1', 'n1');
        update gists set terms = ['rain', null];
        """,
    )
    ahead = _ahead(week, dsn)
    assert set(ahead) == set(ROWS)
    published = _publish(week, dsn, "second", ahead)
    agents = len(HOSTILE)
    assert published.rows_written == {"associations": 2 * agents, "semantic_network": 1, "gists": agents}
    assert published.rows_deleted == {"associations": agents, "semantic_network": 0, "gists": 0}
    again = _publish(week, dsn, "second")
    assert not any((*again.rows_written.values(), *again.rows_deleted.values()))
    with psycopg.connect(dsn) as pg:
        rows = pg.execute("select memory_a, trace, is_pruned from memory.associations where agent_id = ''").fetchall()
        assert sorted(rows) == [("m0", 0.0, False), ("m1", 0.125, True), ("m2", 9.0, False)]
        assert pg.execute("select distinct terms from memory.gists").fetchall() == [(["rain", None],)]


def test_a_publication_looks_again_where_something_came_between(week: Settings, dsn: str) -> None:
    change = "update gists set medoid_centrality = medoid_centrality + .01"
    for between, looks_again in (
        ("", False),
        ("publication", True),
        ("night", True),
        ("removal", True),
        ("forgetting", True),
    ):
        ahead = _ahead(week, dsn)
        _change(week, change)
        if between == "publication":
            assert _publish(week, dsn, "second").rows_written["gists"]
            _change(week, change)
        elif between == "night":
            _begin(week, NIGHT, "a night")
        elif between == "removal":
            _change(
                week, "insert into raw.receipts values ('m0', 'ada', 'test', now(), 'ada', null, '{}', true, false)"
            )
        elif between == "forgetting":
            _change(week, "delete from published.rows; delete from published.mark")
        # what was found ahead is empty, for the change came later
        assert bool(_publish(week, dsn, "second", ahead).rows_written["gists"]) is looks_again, between
        _publish(week, dsn, "second")


def test_a_short_life_a_window_and_what_is_built_anew_are_not_compared_ahead(week: Settings, dsn: str) -> None:
    assert compare_ahead(week, WEEK, dsn=dsn, run_id="second") == {}
    assert compare_ahead(week, AWAKE, dsn=dsn, run_id="first", memories_at_once=2) == {}
    _begin(week, WEEK, "anew", full_refresh=True)
    assert _ahead(week, dsn, "anew") == {}


def test_whoever_waits_has_the_warehouse_between_two_slices(week: Settings, dsn: str) -> None:
    held = []

    def window() -> None:
        with open_warehouse(week, wait_s=0, purpose="a window") as con:
            held.append(con.execute("select count(*) from raw.memories").fetchone())

    assert set(_ahead(week, dsn, let_others_in=window)) == set(ROWS)
    assert held == [(6,)] * 3 * len(ROWS)


class TestMoreThanCanBeSentInAShortHold:
    AT_ONCE = 3

    @pytest.fixture
    def changed(self, week: Settings) -> Settings:
        """A week in which every gist and association is another, and one agent is gone."""
        _change(
            week,
            """
            update gists set medoid_centrality = .75;
            delete from memory_associations where agent_id = '';
            update memory_associations set trace = 9;
            """,
        )
        return week

    def test_is_sent_in_parts_and_what_is_left_with_the_publication(self, changed: Settings, dsn: str) -> None:
        sent: list[int] = []

        def others() -> None:
            with open_warehouse(changed, wait_s=0, purpose="a window"), psycopg.connect(dsn) as pg:
                sent.extend(pg.execute("select count(*) from memory.associations where trace = 9").fetchall()[0])

        ahead = _ahead(changed, dsn, rows_at_once=self.AT_ONCE, let_others_in=others)
        assert 0 < sum(compared.difference.rows for compared in ahead.values()) <= self.AT_ONCE
        steps = [after - before for before, after in itertools.pairwise(sorted(sent))]
        assert 0 < max(steps) <= self.AT_ONCE
        self._assert_published(changed, dsn, ahead)

    def test_leaves_one_row_of_a_run_and_table_in_the_history(self, changed: Settings, dsn: str) -> None:
        _ahead(changed, dsn, rows_at_once=self.AT_ONCE)
        with psycopg.connect(dsn) as pg:
            rows = pg.execute(
                "select changed_tables, stage, rows_written + rows_deleted from memory.runs where run_id = 'second' "
                "order by 1"
            ).fetchall()
        assert [tables for tables, *_ in rows] == [["associations"], ["gists"]]
        assert all(written > self.AT_ONCE for _, _, written in rows)
        assert {stage for _, stage, _ in rows} == {f"{WEEK}, in part"}

    def test_is_gone_on_with_by_the_next_try(self, changed: Settings, dsn: str) -> None:
        class Killed(Exception):
            pass

        calls = 0

        def kill() -> None:
            nonlocal calls
            calls += 1
            if calls == 4:
                raise Killed

        with pytest.raises(Killed):
            _ahead(changed, dsn, rows_at_once=self.AT_ONCE, let_others_in=kill)
        with psycopg.connect(dsn) as pg:
            (sent,) = pg.execute("select count(*) from memory.associations where trace = 9").fetchall()[0]
        assert 0 < sent < ROWS["associations"]
        self._assert_published(changed, dsn, _ahead(changed, dsn, rows_at_once=self.AT_ONCE))

    def test_is_found_again_when_another_stage_begins_meanwhile(self, changed: Settings, dsn: str) -> None:
        held: list[int] = []

        def others() -> None:
            held.append(1)
            if len(held) == 3:
                _begin(changed, NIGHT, "a night")

        ahead = _ahead(changed, dsn, rows_at_once=self.AT_ONCE, let_others_in=others)
        assert set(ahead) == set(ROWS)
        self._assert_published(changed, dsn, ahead)

    def test_is_left_to_the_publication_where_it_does_not_fit_into_memory(
        self, changed: Settings, dsn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "ROWS_IN_MEMORY", 1)
        ahead = _ahead(changed, dsn, rows_at_once=self.AT_ONCE)
        assert set(ahead) == {"semantic_network"}
        self._assert_published(changed, dsn, ahead)

    def test_is_left_to_the_publication_where_the_target_is_another(self, changed: Settings, dsn: str) -> None:
        with psycopg.connect(dsn) as pg:
            pg.execute("delete from memory.runs")
            pg.execute("delete from memory.gists where agent_id = 'ada'")
        ahead = _ahead(changed, dsn, rows_at_once=self.AT_ONCE)
        assert set(ahead) == {"semantic_network"}
        self._assert_published(changed, dsn, ahead)

    def test_is_not_sent_for_a_run_that_is_over(self, changed: Settings, dsn: str) -> None:
        with pytest.raises(PublishError, match="not the current one"):
            _ahead(changed, dsn, "first", rows_at_once=self.AT_ONCE)

    def _assert_published(self, changed: Settings, dsn: str, ahead: Mapping[str, Compared]) -> None:
        _publish(changed, dsn, "second", ahead)
        again = _publish(changed, dsn, "second")
        assert not any((*again.rows_written.values(), *again.rows_deleted.values()))
        with psycopg.connect(dsn) as pg:
            rows = pg.execute("select agent_id, memory_a, memory_b, trace from memory.associations").fetchall()
            assert sorted(rows) == sorted(
                (agent, f"m{n}", f"n{n}", 9.0) for agent in HOSTILE if agent for n in range(4)
            )
            assert pg.execute("select agent_id, medoid_centrality from memory.gists order by 1").fetchall() == sorted(
                (agent, 0.75) for agent in HOSTILE
            )


def test_what_was_never_published_is_sent_in_parts_too(week: Settings, dsn: str) -> None:
    with open_warehouse(week) as con:
        con.execute("delete from published.rows; delete from published.mark")
    with psycopg.connect(dsn) as pg:
        pg.execute("drop schema memory cascade")
    ahead = _ahead(week, dsn, rows_at_once=5)
    with psycopg.connect(dsn) as pg:
        (filled,) = pg.execute("select count(*) from memory.associations").fetchall()[0]
    assert 0 < filled <= ROWS["associations"]
    published = _publish(week, dsn, "second", ahead)
    assert published.resent == []
    with psycopg.connect(dsn) as pg:
        for table, rows in ROWS.items():
            assert pg.execute(f"select count(*) from memory.{table}").fetchall() == [(rows,)]


def test_what_windows_publish_too_is_sent_until_little_is_left(settings: Settings, dsn: str) -> None:
    memories, at_once = 24, 8
    with open_warehouse(settings) as con:
        con.execute(NIGHTS_MODELS)
    _begin(settings, AWAKE, "first")
    _begin(settings, NIGHT, "a night")
    sent: list[int] = []

    def others() -> None:
        with open_warehouse(settings, wait_s=0, purpose="a window"), psycopg.connect(dsn) as pg:
            if pg.execute("select to_regclass('memory.memories') is not null").fetchall() == [(True,)]:
                sent.extend(pg.execute("select count(*) from memory.memories").fetchall()[0])

    ahead = compare_ahead(
        settings,
        NIGHT,
        dsn=dsn,
        run_id="a night",
        memories_at_once=memories // 2,
        rows_at_once=at_once,
        let_others_in=others,
    )
    assert set(ahead) == {"decisions", "health"}
    steps = [after - before for before, after in itertools.pairwise([0, *sent])]
    assert max(steps) == at_once // 4
    assert memories - at_once <= sent[-1] < memories
    with open_warehouse(settings) as con:
        published = publish_stage(con, NIGHT, dsn=dsn, run_id="a night", ahead=ahead)
    assert published.rows_written["memories"] == memories - sent[-1]
    with psycopg.connect(dsn) as pg:
        assert pg.execute("select state, count(*) from memory.memories group by 1").fetchall() == [
            ("forgotten", memories)
        ]
