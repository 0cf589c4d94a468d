"""What sleep has to send is found in slices; the publication believes it only where nothing came between."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import psycopg
import pytest
from biomem.warehouse import ahead as slices
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
    ahead = compare_ahead(week, WEEK, memories_at_once=2)
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
        ahead = compare_ahead(week, WEEK, memories_at_once=2)
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


def test_a_short_life_a_window_and_what_is_built_anew_are_not_compared_ahead(week: Settings) -> None:
    assert compare_ahead(week, WEEK) == {}
    assert compare_ahead(week, AWAKE, memories_at_once=2) == {}
    _begin(week, WEEK, "anew", full_refresh=True)
    assert compare_ahead(week, WEEK, memories_at_once=2) == {}


def test_whoever_waits_has_the_warehouse_between_two_slices(week: Settings) -> None:
    held = []

    def window() -> None:
        with open_warehouse(week, wait_s=0, purpose="a window") as con:
            held.append(con.execute("select count(*) from raw.memories").fetchone())

    assert set(compare_ahead(week, WEEK, memories_at_once=2, let_others_in=window)) == set(ROWS)
    assert held == [(6,)] * 3 * len(ROWS)


def test_too_many_rows_are_left_to_the_publication(week: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "ROWS_KEPT", 3)
    _change(week, "update gists set medoid_centrality = 0")
    assert set(compare_ahead(week, WEEK, memories_at_once=2)) == {"associations", "semantic_network"}
