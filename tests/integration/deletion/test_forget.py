"""Memories removed for good: from every layer, for ever, and without harm to the others."""

from __future__ import annotations

import random
import shutil
from itertools import count
from pathlib import Path

import psycopg
import pytest
from biomem.deletion import forget as deletion
from biomem.deletion.forget import Request, forget, preview
from biomem.warehouse import backup, removal
from biomem.warehouse.context import STAGES
from biomem.warehouse.publish import publish_stage
from biomem.warehouse.rebuild import verify
from lives import Life, day

SECRET = "Quillon told me about her Zanthoxylum allergy in the tram to Ommerschans"
TERM = "Zanthoxylum"
ASKED = day(500)
_numbers = count(1)


def memories():
    """Two agents' lives; `secret` is told once by ada, and named again by nobody."""
    texts = ["We planted apple trees in the garden", "The tram was late again", "Milo lives in Ghent", "I bought bread"]
    told = [
        {
            "memory_id": f"m{number}",
            "agent_id": ("ada", "milo")[number % 2],
            "session_id": f"s{number // 6}",
            "content": f"{texts[number % 4]}, for the {number}th time",
            "occurred_at": day(number * 0.4),
            "tags": ["garden", f"t{number % 3}"],
        }
        for number in range(60)
    ]
    secret = {
        "memory_id": "secret",
        "agent_id": "ada",
        "session_id": "s1",
        "speaker": "Quillon",
        "content": SECRET,
        "occurred_at": day(2.405),
        "tags": ["allergy", TERM],
    }
    return [*told, secret]


@pytest.fixture(scope="module")
def built(tmp_path_factory, postgres):
    """The life, computed and published once; its secret is replayed, associated and named in concepts."""
    life, dsn = Life(tmp_path_factory.mktemp("built")), postgres.dsn("built")
    chance = random.Random(7)
    ids = [memory["memory_id"] for memory in memories()]
    accesses = [(chance.choice(ids), day(chance.uniform(3, 29))) for _ in range(150)]
    accesses += [("secret", day(instant)) for instant in (3, 5, 8, 12)]
    life.pull(memories(), accesses)
    life.live_to(day(30))
    publish(life, dsn)
    yield life
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute("drop database built with (force)")


@pytest.fixture
def dsn(built, postgres):
    """A copy of the database that the life was published to."""
    name = f"copy_{next(_numbers)}"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template built")
        yield postgres.dsn(name)
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def lived(built, tmp_path):
    """A copy of the life."""
    life = Life(tmp_path / "home")
    life.batch, life.runs = built.batch, built.runs
    life.settings.home.mkdir()
    shutil.copyfile(built.settings.warehouse_path, life.settings.warehouse_path)
    return life


def publish(life, dsn):
    with life.open() as con:
        for stage, run_id in con.execute("select stage, run_id from raw.run_context").fetchall():
            publish_stage(con, stage, dsn=dsn, run_id=run_id)


def ask(*ids, **options):
    return Request(ids=ids, forgotten_at=ASKED, requested_by="tester", **options)


def assert_equal(life):
    for comparison in verify(life.settings):
        assert comparison.verdict != "different", (comparison.model, comparison.differences)


def everything(life):
    """Every cell of the warehouse but its receipts, as text, per table."""
    with life.open() as con:
        tables = con.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = current_database() "
            "and table_name not in ('receipts')"
        ).fetchall()
        return {
            f"{schema}.{table}": str(con.execute(f'select * from {schema}."{table}"').fetchall())
            for schema, table in tables
        }


def published(pg):
    tables = pg.execute("select tablename from pg_tables where schemaname = 'memory'").fetchall()
    return {table: str(pg.execute(f'select * from memory."{table}"').fetchall()) for (table,) in tables}


def holding(tables, *words):
    return {name for name, text in tables.items() if any(word.lower() in text.lower() for word in words)}


def test_the_life_has_the_secret_in_every_layer_before(lived, pg):
    assert holding(everything(lived), "'secret'", TERM) >= {
        "raw.memories",
        "raw.access_log",
        "main.memory_repeats",
        "main.memory_traces",
        "main.stm_windows",
        "main.memory_associations",
        "main.memory_replay",
        "main.concept_mentions",
        "main.concepts",
        "main.memory_concepts",
        "main.memory_retention",
        "published.rows",
    }
    assert holding(published(pg), "secret", TERM) >= {"memories", "concepts", "short_term", "associations"}


def test_nothing_of_it_is_left_in_any_layer_but_a_receipt_and_the_ledgers_word(lived, pg, dsn):
    report = forget(lived.settings, ask("secret", reason="asked by phone"), target_dsn=dsn)
    assert (report.forgotten, report.unknown, report.left) == (["secret"], [], [])
    assert holding(everything(lived), TERM, "Quillon", "Ommerschans") == set()
    assert holding(everything(lived), "'secret'") == {"main.memory_ledger"}
    assert holding(published(pg), TERM, "Quillon", "Ommerschans") == set()
    assert holding(published(pg), "'secret'") == {"decisions"}
    assert pg.execute(
        "select decision, result, decided_at from memory.decisions where memory_id = 'secret'"
    ).fetchall() == [("delete", "removed for good", ASKED)]
    with lived.open() as con:
        (receipt,) = removal.receipts(con)
    assert (receipt.memory_id, receipt.agent_id, receipt.requested_by, receipt.reason) == (
        "secret", "ada", "tester", "asked by phone",
    )  # fmt: skip
    assert receipt.forgotten_at == ASKED
    assert receipt.is_complete
    assert receipt.rows_removed["raw.memories"] == 1
    assert report.rows["memory.memories"] == 1


def test_what_is_left_is_what_a_rebuild_gives_and_other_agents_are_not_touched(lived, dsn):
    milo = "select * from memory_traces where agent_id = 'milo' order by 1"
    before = lived.rows(milo)
    forget(lived.settings, ask("secret", "m2", "m8"), target_dsn=dsn)
    assert lived.rows(milo) == before
    assert_equal(lived)


def test_the_bytes_are_gone_from_the_warehouses_file_and_from_postgresqls(lived, pg, dsn, postgres):
    words = [TERM.encode(), TERM.lower().encode(), b"Ommerschans"]
    database = pg.execute("select oid from pg_database where datname = current_database()").fetchone()[0]
    folder = postgres_data(postgres) / "base" / str(database)
    pg.execute("checkpoint")
    assert in_files([lived.settings.warehouse_path], words)
    assert in_files(folder.iterdir(), words)
    forget(lived.settings, ask("secret"), target_dsn=dsn)
    pg.execute("checkpoint")
    assert in_files(lived.settings.home.rglob("*"), words) == []
    assert in_files(folder.iterdir(), words) == []


def postgres_data(postgres):
    with psycopg.connect(postgres.dsn("postgres")) as connection:
        return Path(connection.execute("show data_directory").fetchone()[0])


def in_files(paths, words):
    return [path for path in paths if path.is_file() and any(word in path.read_bytes() for word in words)]


def test_a_text_in_logs_and_reports_is_blotted_out_and_copies_of_the_warehouse_are_removed(lived, dsn):
    home = lived.settings.home
    log_file, report_file, copy = (
        home / "airflow" / "logs" / "task.log",
        home / "demo" / "report.json",
        home / "old.duckdb",
    )
    log_file.parent.mkdir(parents=True)
    report_file.parent.mkdir(parents=True)
    log_file.write_text(f"before\nrow ({SECRET!r})\nafter\n")
    report_file.write_text('{"memory": "Quillon told me about her Zanth\\u2026", "other": "kept"}')
    copy.write_bytes(lived.settings.warehouse_path.read_bytes())
    (home / "packed.gz").write_bytes(SECRET.encode())
    size = log_file.stat().st_size
    report = forget(lived.settings, ask("secret"), target_dsn=dsn)
    text = log_file.read_text()
    assert log_file.stat().st_size == size
    assert text.startswith("before\nrow ('***")
    assert text.endswith("***')\nafter\n")
    assert "Quillon" not in report_file.read_text()
    assert '"other": "kept"' in report_file.read_text()
    assert not copy.exists()
    assert report.files_removed == [str(copy)]
    assert [text for text in report.left if "packed.gz" in text]


def test_looking_first_changes_nothing(lived, pg, dsn):
    before, there = everything(lived), published(pg)
    report = preview(lived.settings, ask("secret", "nobody"), target_dsn=dsn)
    assert (report.forgotten, report.unknown) == (["secret"], ["nobody"])
    assert report.rows["raw.memories"] == report.rows["memory.memories"] == 1
    assert (everything(lived), published(pg)) == (before, there)


def test_an_id_that_is_not_there_is_reported_and_the_others_are_removed(lived, dsn):
    report = forget(lived.settings, ask("nobody", "secret"), target_dsn=dsn)
    assert (report.forgotten, report.unknown) == (["secret"], ["nobody"])


def test_doing_it_again_changes_nothing(lived, pg, dsn):
    forget(lived.settings, ask("secret"), target_dsn=dsn)
    before, there = everything(lived), published(pg)
    again = forget(lived.settings, ask("secret"), target_dsn=dsn)
    assert (again.forgotten, again.already_forgotten, again.unknown) == ([], ["secret"], [])
    assert (everything(lived), published(pg)) == (before, there)


def test_an_access_that_is_logged_afterwards_is_removed_by_the_next_time(lived, pg, dsn):
    forget(lived.settings, ask("secret"), target_dsn=dsn)
    pg.execute(
        "insert into memory.access_log (memory_id, agent_id, accessed_at) values ('secret', 'ada', '2026-02-01')"
    )
    forget(lived.settings, ask("secret"), target_dsn=dsn)
    assert pg.execute("select count(*) from memory.access_log where memory_id = 'secret'").fetchone() == (0,)


@pytest.fixture
def repeated(lived, dsn):
    """The secret is told twice more, later, by the same agent."""
    twins = [{"memory_id": f"twin{n}", "content": SECRET, "occurred_at": day(30 + n), "tags": []} for n in (1, 2)]
    lived.pull(twins)
    lived.live_to(day(35))
    assert lived.rows("select memory_id, root_id from memory_repeats where memory_id like 'twin%' order by 1") == [
        ("twin1", "secret"), ("twin2", "secret"),
    ]  # fmt: skip
    return lived


@pytest.mark.slow
def test_when_the_first_telling_is_removed_the_next_one_takes_its_place(repeated, dsn):
    report = forget(repeated.settings, ask("secret"), target_dsn=dsn)
    assert report.repeats == {"secret": ["twin1", "twin2"]}
    assert repeated.rows("select memory_id, root_id from memory_repeats where memory_id like 'twin%' order by 1") == [
        ("twin1", "twin1"), ("twin2", "twin1"),
    ]  # fmt: skip
    assert_equal(repeated)


def test_when_a_repeat_is_removed_the_first_telling_stays(repeated, dsn):
    accesses = repeated.value("select access_count from memory_traces where memory_id = 'secret'")
    report = forget(repeated.settings, ask("twin1"), target_dsn=dsn)
    assert report.repeats == {"twin1": ["secret", "twin2"]}
    assert repeated.value("select access_count from memory_traces where memory_id = 'secret'") == accesses - 1
    assert_equal(repeated)


def test_the_repeats_go_too_when_that_is_asked(repeated, pg, dsn):
    report = forget(repeated.settings, ask("twin1", with_repeats=True), target_dsn=dsn)
    assert report.forgotten == ["secret", "twin1", "twin2"]
    assert holding(everything(repeated) | published(pg), TERM) == set()


@pytest.mark.slow
def test_an_agent_may_lose_its_last_memory(lived, pg, dsn):
    lived.pull([{"memory_id": "only", "agent_id": "noor", "content": SECRET, "occurred_at": day(30), "tags": []}])
    lived.live_to(day(31))
    publish(lived, dsn)
    forget(lived.settings, ask("only"), target_dsn=dsn)
    assert pg.execute("select count(*) from memory.memories where agent_id = 'noor'").fetchone() == (0,)
    assert_equal(lived)


@pytest.mark.slow
def test_an_agent_that_a_run_of_its_own_took_further_stays_there(lived, dsn):
    lived.run(STAGES[0], day(33), agent_id="ada")
    forget(lived.settings, ask("secret"), target_dsn=dsn)
    assert lived.value("select as_of from raw.agent_clock where stage = ? and agent_id = 'ada'", STAGES[0]) == day(33)
    assert_equal(lived)


@pytest.mark.slow
def test_life_goes_on_afterwards_as_though_it_had_never_been(lived, dsn):
    forget(lived.settings, ask("secret"), target_dsn=dsn)
    lived.pull(
        [{"memory_id": "new", "content": "The tram was late again, alas", "occurred_at": day(31)}], [("m2", day(31))]
    )
    lived.live_to(day(32))
    assert_equal(lived)


STEPS = [
    "_blot_out",
    "removal.take_out",
    "run_stage",
    "publish_stage",
    "target.sweep",
    "target.vacuum",
    "_clean_copies",
    "copies.rewrite",
]


@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=() if step == "run_stage" else pytest.mark.slow) for step in STEPS],
)
def test_a_deletion_that_is_cut_short_anywhere_is_finished_by_the_next_one(lived, pg, dsn, monkeypatch, step):
    class Cut(Exception):
        pass

    def cut(*args, **options):
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(f"biomem.deletion.forget.{step}", cut)
        with pytest.raises(Cut):
            forget(lived.settings, ask("secret"), target_dsn=dsn)
    report = forget(lived.settings, ask("secret"), target_dsn=dsn)
    assert "secret" in [*report.forgotten, *report.already_forgotten]
    assert holding(everything(lived) | published(pg), TERM) == set()
    assert in_files([lived.settings.warehouse_path], [TERM.encode()]) == []
    with lived.open() as con:
        assert [receipt.is_complete for receipt in removal.receipts(con)] == [True]
    assert_equal(lived)


@pytest.mark.slow
def test_ordinary_runs_also_heal_what_a_deletion_left_half_way(lived, dsn, monkeypatch):
    def cut(*args, **options):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "run_stage", cut)
        with pytest.raises(RuntimeError):
            forget(lived.settings, ask("secret"), target_dsn=dsn)
    lived.live_to(day(30))
    lived.live_to(day(30))
    assert_equal(lived)


def test_a_run_that_is_under_way_is_waited_for(lived, dsn, monkeypatch):
    told = []
    monkeypatch.setattr(deletion, "STAGE_WAIT_S", 1.0)
    lived.run(STAGES[0], day(31), complete=False)
    forget(lived.settings, ask("secret"), target_dsn=dsn, tell=told.append)
    assert "waiting for the run of short_term_memory to end" in told[0]
    assert_equal(lived)


def test_where_nothing_was_ever_pulled_every_id_is_unknown(life, dsn):
    report = forget(life.settings, ask("secret"), target_dsn=dsn)
    assert (report.forgotten, report.unknown) == ([], ["secret"])


@pytest.fixture
def backed_up(lived):
    """A backup, and a warehouse that a restore put aside, both with the secret in them."""
    path, _ = backup.backup(lived.settings, None, day(30))
    backup.restore(lived.settings, path)
    return lived, path, lived.settings.home / "warehouse.before-restore.duckdb"


@pytest.mark.slow
def test_backups_keep_everything_else(backed_up, dsn):
    life, path, aside = backed_up
    report = forget(life.settings, ask("secret"), target_dsn=dsn)
    assert set(report.files_cleaned) == {str(path), str(aside)}
    assert in_files([path, aside], [TERM.encode()]) == []
    others = life.value("select count(*) from raw.memories")
    backup.restore(life.settings, path)
    assert life.value("select count(*) from raw.memories") == others > 0
    life.live_to(day(30))
    life.live_to(day(30))
    assert holding(everything(life), TERM) == set()
    assert_equal(life)


@pytest.mark.slow
def test_a_backup_from_elsewhere_does_not_bring_it_back(backed_up, tmp_path, dsn):
    life, path, _ = backed_up
    elsewhere = tmp_path / "elsewhere.biomem.tar"
    elsewhere.write_bytes(path.read_bytes())
    forget(life.settings, ask("secret"), target_dsn=dsn)
    backup.restore(life.settings, elsewhere)
    assert life.rows("select memory_id from raw.memories where memory_id = 'secret'") == []
    with life.open() as con:
        (receipt,) = removal.receipts(con)
    assert (receipt.is_blocked, receipt.is_complete) == (True, False)
    forget(life.settings, ask("secret"), target_dsn=dsn)
    assert in_files([life.settings.warehouse_path], [TERM.encode()]) == []
    assert_equal(life)


def test_a_backup_that_is_damaged_is_told(backed_up, dsn):
    life, path, _ = backed_up
    path.write_bytes(path.read_bytes()[:-200_000])
    report = forget(life.settings, ask("secret"), target_dsn=dsn)
    assert [text for text in report.left if str(path) in text]
