"""A published memory with something of everything in it, and the page over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from biomem.warehouse.target_schema import ensure_target_schema
from fastapi.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCRIPT = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\"> \u202e😀"
PUBLISHED = """
    insert into memory.memories (memory_id, agent_id, content, occurred_at, state, repeat_of, stability_days,
        difficulty, last_accessed_at, access_count, is_long_term, arousal, run_id, params_hash, as_of)
    select 'a' || n, 'ada', 'The kettle number ' || n || ' is blue',
        timestamptz '2026-01-01+00' + n * interval '1 hour',
        case when n % 10 = 9 then 'forgotten' else 'live' end, null, 1 + n, 5,
        timestamptz '2026-01-01+00' + n * interval '1 hour', 1, n % 3 = 0, .1, 'r1', 'p', '2026-01-10+00'
    from generate_series(1, 60) as n;
    insert into memory.memories (memory_id, agent_id, content, occurred_at, state, stability_days, difficulty,
        last_accessed_at, access_count, is_long_term, arousal, run_id, params_hash, as_of)
    values ('m1', 'milo', 'The safe opens with 4711', '2026-01-01+00', 'live', 2.3, 5, '2026-01-01+00', 1, false, .1,
        'r1', 'p', '2026-01-10+00');
    insert into memory.working_memory
    select 'ada', n, 'a' || n, -1 - n * .2, timestamptz '2026-01-09 23:59:00+00', 'r1', 'p', '2026-01-10+00'
    from generate_series(1, 5) as n;
    insert into memory.working_memory
    values ('milo', 1, 'm1', -1.5, '2026-01-09 23:58+00', 'r1', 'p', '2026-01-10+00');
    insert into memory.short_term
    select 'ada', timestamptz '2026-01-09 23:30+00' + n * interval '30 seconds', 'a' || m, m = 1, true, -1, 'r1', 'p',
        '2026-01-10+00'
    from generate_series(0, 59) as n, generate_series(1, 3) as m;
    insert into memory.semantic_network
    select 'ada', 'about', 'a' || n, 'kettle ' || n % 7, (n % 50) / 50.0, 'kettle ' || n % 7, 'r1', 'p', '2026-01-10+00'
    from generate_series(1, 60) as n;
    insert into memory.concepts
    select 'ada', 'kettle ' || n, 'term', 8, '2026-01-01+00', '2026-01-02+00', 'r1', 'p', '2026-01-10+00'
    from generate_series(0, 6) as n;
    insert into memory.gists
    values ('ada', 'kettle 1', 'a1', 1.5, '{kettle 1,kettle 2}', 2, 9, 'r1', 'p', '2026-01-10+00');
    insert into memory.replays
    values ('a1', '2026-01-05 01:30+00', 'ada', .1, .8, .5, 3, .4, 'r1', 'p', '2026-01-10+00');
    insert into memory.access_log (memory_id, agent_id, accessed_at) values ('a1', 'ada', '2026-01-03+00');
    insert into memory.decisions
    values ('d1', 'a9', null, 'ada', 'nightly_decay', 'demote', '2026-01-09 02:00+00',
        '{"retention": 0.59, "stability_days": 2.3, "last_accessed_at": "2026-01-01 00:00:00+00"}', 0.6,
        'forgotten', null, true, 'r1', 'p', '2026-01-10+00');
    insert into memory.health
    values ('ada', 'long_term_memory', 'live', '2026-01-10+00', 54, 'r1', 'p', '2026-01-10+00'),
        ('ada', 'long_term_memory', 'forgotten', '2026-01-10+00', 6, 'r1', 'p', '2026-01-10+00'),
        ('milo', 'long_term_memory', 'live', '2026-01-10+00', 1, 'r1', 'p', '2026-01-10+00'),
        ('ada', 'nights', 'demoted', '2026-01-09 02:00+00', 6, 'r1', 'p', '2026-01-10+00');
    insert into memory.runs (publish_id, run_id, stage, as_of, params_hash, changed_tables, rows_written, rows_deleted,
        published_at)
    select 'p' || n, 'run ' || n, 'short_term_memory', at, 'p', '{memories}', n, 0,
        at + make_interval(secs => case n when 50 then 95 else 8 end)
    from generate_series(1, 60) as n
    cross join lateral (select timestamptz '2026-01-09 23:30+00' + n * interval '30 seconds' as at) as windows
    where n <> 40;
    insert into memory.what_ifs (run_id, as_of, params_hash, parameters, counts, differences, oracles, asked_by,
        seconds, computed_at)
    select 'manual__' || n, '2026-01-10+00', 'q', '{"forgetting_threshold": {"now": 0.6, "then": 0.5}}',
        '{"memories": {"now": 61, "then": 61}, "live": {"now": 54, "then": 58}, "forgotten": {"now": 6, "then": 2},
          "long_term": {"now": 20, "then": 20}, "in_mind": {"now": 6, "then": 6},
          "mean_retention": {"now": 0.8, "then": 0.8}}',
        '{"forgotten": 0, "kept": 4}',
        '[{"dataset": "Murdock1961_STM", "source": "Murdock 1961", "measure": "R2", "bound": ">= 0.97",
           "now": {"value": 0.99, "rmse": 0.01, "pass": true}, "then": {"value": 0.5, "rmse": 0.2, "pass": false}}]',
        'ada', 12.5, timestamptz '2026-01-10+00' + n * interval '1 minute'
    from generate_series(1, 2) as n;
    insert into memory.what_if_memories
    values ('manual__2', 'kept', 1, 'a9', 'ada',
        '{"state": "forgotten", "retention": 0.59, "demoted_at": "2026-01-09T02:00:00+00:00"}',
        '{"state": "live", "retention": 0.72, "demoted_at": null}'),
        ('manual__2', 'kept', 2, 'a1', 'ada', '{"state": "forgotten", "retention": 0.5, "demoted_at": null}',
        '{"state": "live", "retention": 0.7, "demoted_at": null}');
"""


@pytest.fixture
def pg(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """The published memory."""
    ensure_target_schema(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(PUBLISHED)
        connection.execute("update memory.memories set content = %s where memory_id = 'a1'", [SCRIPT])
        yield connection


@pytest.fixture
def ask(dsn: str) -> Iterator[Callable[..., Any]]:
    """Ask the page's server side, as somebody who may."""
    from biomem_airflow.ui.app import make_app

    with TestClient(make_app(lambda: dsn, access=lambda: None)) as client:

        def get(path: str, status: int = 200, **parameters: Any) -> Any:
            answer = client.get(f"/api/{path}", params=parameters)
            assert answer.status_code == status, answer.text
            return answer.json()

        yield get
