"""The recall index follows memory.memories whatever is done to it."""

from __future__ import annotations

import random

import pytest
from biomem.warehouse.target_schema import ensure_target_schema

WORDS = ["heron", "lake", "tea", "rain", "walk", "mara", "blue", "old"]


def same_index_from_scratch(target):
    """The index as it is, and as it would be if all memories came at once."""
    lived = target.index()
    target.pg.execute("create temp table kept as select * from memory.memories")
    target.pg.execute("truncate memory.memories")
    assert target.index() == {"texts": [], "postings": [], "agents": [], "speakers": []}
    target.pg.execute("insert into memory.memories select * from kept")
    target.pg.execute("drop table kept")
    return lived, target.index()


@pytest.mark.parametrize("seed", range(4))
def test_changes_one_by_one_leave_what_a_build_at_once_would(target, seed):
    rng = random.Random(seed)
    for _ in range(120):
        name = f"m{rng.randrange(25)}"
        if rng.random() < 0.2:
            target.pg.execute("delete from memory.memories where memory_id = %s", [name])
            continue
        target.remember(
            name,
            rng.choice([" ".join(rng.choices(WORDS, k=rng.randrange(1, 6))), None, "?"]),
            minute=rng.randrange(40),
            agent_id=rng.choice(["ada", "eve"]),
            session_id=rng.choice(["s", "t", None]),
            speaker=rng.choice(["Mara", "Ben Carter", None]),
            state=rng.choice(["live", "forgotten"]),
        )
    lived, built = same_index_from_scratch(target)
    assert lived == built
    assert lived["postings"]


def test_a_change_of_state_alone_leaves_the_index_alone(target):
    target.remember("heron", "a heron")
    number = target.pg.execute("select document from memory.recall_documents").fetchone()
    target.remember("heron", "a heron", state="forgotten", stability_days=3.0)
    assert target.pg.execute("select document from memory.recall_documents").fetchone() == number


def test_an_edit_is_found_by_its_new_words_only_and_loses_its_vector(target):
    target.remember("note", "a heron")
    target.pg.execute("insert into memory.embedding_models values ('toy', 1, true)")
    target.pg.execute(
        "insert into memory.recall_vectors (agent_id, model, document, embedding) values ('ada', 'toy', 1, '{1}')"
    )
    target.remember("note", "a kingfisher")
    assert target.recall("heron") == []
    assert target.recall("kingfisher") == ["note"]
    assert target.pg.execute("select count(*) from memory.recall_vectors").fetchone() == (0,)


def test_a_deleted_memory_leaves_no_word_behind(target):
    target.remember("secret", "the unspeakable", speaker="Voldemort", session_id="s")
    target.pg.execute("delete from memory.memories")
    assert target.index() == {"texts": [], "postings": [], "agents": [], "speakers": []}


def test_blocks_of_one_word_count_as_one(target):
    target.pg.execute(
        "insert into memory.memories (memory_id, agent_id, content, occurred_at, state, is_long_term, run_id, "
        "params_hash, as_of) select 'm' || i, 'ada', 'tea ' || i, '2026-01-01', 'live', false, 'r', 'h', '2026-01-01' "
        "from generate_series(1, 3000) as i"
    )
    assert target.pg.execute("select count(*) from memory.recall_postings where lexeme = 'tea'").fetchone() == (3,)
    assert target.recall("tea 2999", k=1) == ["m2999"]
    assert len(target.recall("tea", k=10_000)) == 3000
    target.pg.execute("delete from memory.memories where memory_id <> 'm2999'")
    assert target.recall("tea", k=10_000) == ["m2999"]


def test_likeness_is_the_same_by_the_extension_and_without_it(target, dsn):
    similarity = "select memory.similarity('{0.6,0.8}', '{0.8,0.6}'), prosrc like '%%vector%%' from pg_proc " + (
        "where pronamespace = 'memory'::regnamespace and proname = 'similarity'"
    )
    assert target.pg.execute(similarity).fetchone() == (pytest.approx(0.96), True)
    target.pg.execute("drop extension vector")
    ensure_target_schema(dsn)
    assert target.pg.execute(similarity).fetchone() == (pytest.approx(0.96), False)
    target.pg.execute("create schema elsewhere; create extension vector schema elsewhere")
    ensure_target_schema(dsn)
    assert target.pg.execute(similarity).fetchone() == (pytest.approx(0.96), True)
