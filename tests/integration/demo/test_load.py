from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import psycopg
import pytest
from biomem.demo.load import LoadOptions, load, load_options
from biomem.errors import ConfigurationError, InputError, SourceError

UTC = timezone.utc


@pytest.fixture
def load_text(database, tmp_path):
    """Load a text under a file name into the test's own database."""

    def load_text(text, name="memories.jsonl", table="public.memories", **options):
        path = tmp_path / name
        data = text.encode() if isinstance(text, str) else text
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return load(path, database, database, table=table, options=LoadOptions(**options))

    return load_text


def jsonl(*records):
    base = {"occurred_at": "2026-03-02T10:00:00Z", "content": "something"}
    return "".join(json.dumps({**base, **record}, ensure_ascii=False) + "\n" for record in records)


def one(database, query):
    return database.execute(query).fetchone()[0]


def all_of(database, query):
    return database.execute(query).fetchall()


def test_ids_and_texts_come_back_exactly_as_loaded(load_text, database):
    ids = ["conv-26/D1:4", " leading space", "ÄÖ🌷", "a,b\"c'd", "007", "7"]
    texts = ["x" * 1_000_000, "🌷 👩‍👩‍👧", "الله يشفيها", "tab\tand\nnewline\\N", "\\.", "plain"]
    report = load_text(jsonl(*({"memory_id": i, "content": t} for i, t in zip(ids, texts, strict=True))))
    assert report.inserted == len(ids)
    found = dict(all_of(database, "select memory_id, content from memories"))
    assert found == dict(zip(ids, texts, strict=True))


def test_every_field_arrives(load_text, database):
    load_text(
        jsonl(
            {
                "memory_id": "1",
                "agent_id": "ada",
                "session": "s1",
                "speaker": "noor",
                "updated_at": "2026-03-03",
                "importance": 0.5,
                "arousal": 0.25,
                "tags": ["a", "b, c"],
                "metadata": {"k": "v"},
            }
        )
    )
    [row] = all_of(
        database,
        "select agent_id, session_id, speaker, occurred_at, updated_at, importance, arousal, tags, metadata, deleted_at"
        " from memories",
    )
    made, edited = datetime(2026, 3, 2, 10, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
    assert row == ("ada", "s1", "noor", made, edited, 0.5, 0.25, ["a", "b, c"], {"k": "v"}, None)


def test_the_same_file_again_changes_nothing(load_text, database):
    text = jsonl({"memory_id": "1", "importance": 0.3, "tags": ["x"]}, {"memory_id": "2"})
    load_text(text)
    before = all_of(database, "select xmin::text, memory_id from memories order by 2")
    again = load_text(text)
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, 2)
    assert all_of(database, "select xmin::text, memory_id from memories order by 2") == before


def test_changed_text_is_an_update_and_other_fields_stay(load_text, database):
    load_text(jsonl({"memory_id": "1", "speaker": "noor"}, {"memory_id": "2"}))
    report = load_text(jsonl({"memory_id": "1", "content": "other"}, {"memory_id": "3"}))
    assert (report.inserted, report.updated, report.unchanged) == (1, 1, 0)
    [row] = all_of(database, "select content, speaker, updated_at from memories where memory_id = '1'")
    assert row == ("other", "noor", None)


def test_updated_at_comes_from_the_file(load_text, database):
    load_text(jsonl({"memory_id": "1"}))
    load_text(jsonl({"memory_id": "1", "content": "other", "updated_at": "2026-04-01T00:00:00Z"}))
    assert one(database, "select updated_at from memories") == datetime(2026, 4, 1, tzinfo=UTC)


def test_identical_rows_count_once(load_text):
    report = load_text(jsonl({"memory_id": "1"}, {"memory_id": "1"}, {"memory_id": "2"}))
    assert (report.inserted, report.repeated, report.memories) == (2, 1, 2)


def test_one_id_with_two_contents_is_refused_and_nothing_is_loaded(load_text, database):
    load_text(jsonl({"memory_id": "before"}))
    with pytest.raises(InputError, match="id '1' stands on line 2 and on line 4 with different content"):
        load_text(
            jsonl({"memory_id": "0"}, {"memory_id": "1"}, {"memory_id": "2"}, {"memory_id": "1", "content": "other"})
        )
    assert all_of(database, "select memory_id from memories") == [("before",)]


def test_a_fault_on_the_last_line_loads_nothing(load_text, database):
    with pytest.raises(InputError, match="line 3"):
        load_text(jsonl({"memory_id": "1"}, {"memory_id": "2"}) + '{"memory_id": "3"}\n')
    assert one(database, "select to_regclass('memories')") is None


def test_blank_text_is_kept_as_null_and_counted(load_text, database):
    report = load_text(jsonl({"memory_id": "1", "content": " "}, {"memory_id": "2", "content": None}))
    assert report.blank == 2
    assert one(database, "select count(*) from memories where content is null") == 2


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_file_without_rows_is_named(load_text, text):
    with pytest.raises(InputError, match="has no rows"):
        load_text(text)


def test_a_csv_with_only_a_header_is_named(load_text):
    with pytest.raises(InputError, match="has no rows"):
        load_text("id,text,date\n", "a.csv")


def test_the_future_and_the_past_are_both_fine(load_text, database):
    load_text(
        jsonl(
            {"memory_id": "1", "occurred_at": "1660-01-01T21:00:00Z"},
            {"memory_id": "2", "occurred_at": "2999-12-31T23:59:59Z"},
        )
    )
    assert one(database, "select max(occurred_at) - min(occurred_at) > interval '489000 days' from memories")


def test_rows_without_ids_get_the_same_ones_each_time(load_text, database):
    text = "text,when\na,2026-03-02T08:00Z\nb,2026-03-02T09:00Z\nc,2026-03-03T08:00Z\n"
    load_text(text, "a.csv")
    assert all_of(database, "select memory_id, content from memories order by 1") == [
        ("2026-03-02-001", "a"),
        ("2026-03-02-002", "b"),
        ("2026-03-03-001", "c"),
    ]
    assert load_text(text, "a.csv").unchanged == 3


DIARY = "entry_date,text\n" + "".join(
    f'2026-03-0{day},"{("Up early and to the office. " * 20).strip()} So to bed."\n' for day in (1, 2)
)


def test_a_diary_is_cut_into_sentences_half_a_minute_apart(load_text, database):
    report = load_text(DIARY, "diary.csv.gz")
    assert (report.is_split, report.entries, report.inserted) == (True, 2, 42)
    first = all_of(database, "select memory_id, session_id, occurred_at, content from memories order by 1 limit 1")
    assert first == [
        (
            "2026-03-01-001",
            "2026-03-01",
            datetime(2026, 3, 1, 21, 0, 30, tzinfo=UTC),
            "Up early and to the office.",
        )
    ]
    assert one(database, "select max(occurred_at) from memories") == datetime(2026, 3, 2, 21, 10, 30, tzinfo=UTC)


def test_a_diary_can_be_left_whole(load_text):
    report = load_text(DIARY, "diary.csv", split="none")
    assert (report.is_split, report.inserted) == (False, 2)


def test_two_entries_of_a_day_go_on_counting(load_text, database):
    load_text("date,text\n2026-03-01,One. Two.\n2026-03-01,Three.\n", "a.csv", split="sentences")
    assert all_of(database, "select memory_id, content from memories order by 1") == [
        ("2026-03-01-001", "One."),
        ("2026-03-01-002", "Two."),
        ("2026-03-01-003", "Three."),
    ]


def test_dated_one_liners_are_not_cut(load_text):
    assert not load_text("date,text\n2026-03-01,Up. To bed.\n", "a.csv").is_split


def test_entries_with_ids_are_cut_only_when_asked(load_text, database):
    text = "id," + DIARY.replace("\n2026", "\nx,2026", 1).replace("\n2026", "\ny,2026", 1)
    assert not load_text(text, "a.csv").is_split
    report = load_text(text, "a.csv", table="public.cut", split="sentences")
    assert report.inserted == 42
    assert one(database, "select count(*) from cut where memory_id in ('x-1', 'y-21')") == 2


def test_accesses_go_to_the_log_once(load_text, database):
    text = jsonl(
        {"memory_id": "1", "agent_id": "ada", "accesses": [{"at": "2026-03-05", "grade": 4}, "2026-03-06T00:00:00Z"]},
        {"memory_id": "2", "accesses": [{"at": "2026-03-07", "kind": "restudy"}]},
        {"memory_id": "3"},
    )
    assert load_text(text).accesses == 3
    assert load_text(text).accesses == 0
    rows = all_of(
        database, "select memory_id, agent_id, kind, grade, origin from memory.access_log order by accessed_at"
    )
    assert rows == [
        ("1", "ada", "retrieve", 4, "load"),
        ("1", "ada", "retrieve", 3, "load"),
        ("2", "default", "restudy", 3, "load"),
    ]


def test_accesses_go_to_another_target(load_text, database, postgres, dsn, tmp_path):
    other = postgres.dsn("another_target")
    path = tmp_path / "a.jsonl"
    path.write_text(jsonl({"memory_id": "1", "accesses": ["2026-03-06T00:00:00Z"]}))
    with psycopg.connect(other, autocommit=True) as target:
        report = load(path, database, target)
        assert report.accesses == 1
        assert one(target, "select count(*) from memory.access_log") == 1
    assert one(database, "select to_regclass('memory.access_log')") is None


def test_the_table_may_have_any_name(load_text, database):
    load_text(jsonl({"memory_id": "1"}), table='my schema."Odd Table"')
    assert one(database, 'select count(*) from "my schema"."""Odd Table"""') == 1


@pytest.mark.parametrize("table", ["", ".x", "a.b.c", "a."])
def test_a_name_that_is_no_table_is_refused(load_text, table):
    with pytest.raises(InputError, match="names no table"):
        load_text(jsonl({"memory_id": "1"}), table=table)


def test_a_table_of_another_shape_is_named(load_text, database):
    database.execute("create table memories (memory_id text primary key, content text)")
    with pytest.raises(SourceError, match="no column occurred_at"):
        load_text(jsonl({"memory_id": "1"}))


def test_a_table_without_a_key_is_named(load_text, database):
    database.execute("create table memories (memory_id text, content text, occurred_at timestamptz)")
    with pytest.raises(SourceError, match=r"does not take these memories: .*constraint"):
        load_text(jsonl({"memory_id": "1"}))


def test_a_user_who_may_not_write_is_told(database, dsn, tmp_path):
    database.execute("drop role if exists reader")
    database.execute("create role reader login")
    database.execute("create table memories (memory_id text primary key, content text, occurred_at timestamptz)")
    path = tmp_path / "a.jsonl"
    path.write_text(jsonl({"memory_id": "1"}))
    try:
        with (
            psycopg.connect(dsn.replace("user=biomem", "user=reader"), autocommit=True) as reader,
            pytest.raises(SourceError, match=r"may not write to public\.memories"),
        ):
            load(path, reader, reader)
    finally:
        database.execute("drop role reader")


def test_a_server_that_goes_away_in_the_middle_loads_nothing(database, dsn, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(jsonl(*({"memory_id": str(n)} for n in range(20_000))))
    with psycopg.connect(dsn, autocommit=True) as doomed:

        def kill(position):
            database.execute("select pg_terminate_backend(%s)", [doomed.info.backend_pid])

        with pytest.raises(SourceError, match=r"went away while loading public\.memories: nothing was loaded"):
            load(path, doomed, doomed, on_bytes=kill)
    assert one(database, "select to_regclass('memories')") is None


def test_two_loads_at_once_wait_for_each_other(database, dsn, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(jsonl(*({"memory_id": str(n)} for n in range(2_000))))

    def run(_):
        with psycopg.connect(dsn, autocommit=True) as connection:
            return load(path, connection, connection)

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(run, range(2)))
    assert sorted(report.inserted for report in reports) == [0, 2_000]


def test_a_way_of_splitting_that_is_not_there_is_refused():
    with pytest.raises(ConfigurationError, match="auto, sentences, none"):
        load_options({}, "words")


@pytest.fixture
def biomem(dsn, tmp_path):
    """The command itself, on the test's own database."""

    def biomem(*arguments):
        return subprocess.run(
            [sys.executable, "-c", "from biomem.cli import main; main()", *map(str, arguments), "--home", tmp_path],
            env={**os.environ, "BIOMEM_SOURCE_DSN": dsn},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return biomem


def test_the_command_tells_what_it_did(biomem, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("nr,wat,wanneer,kleur\n1,hallo,2026-03-02,rood\n2,,2026-03-02,blauw\n")
    arguments = ["load", path, "--id", "nr", "--content", "wat", "--occurred-at", "wanneer"]
    done = biomem(*arguments)
    assert done.returncode == 0, done.stderr
    assert "public.memories: 2 memories" in done.stdout
    assert "1 have no text" in done.stdout
    assert "columns not used: kleur" in done.stdout
    assert json.loads(biomem(*arguments, "--json").stdout)["unchanged"] == 2


def test_the_command_fails_with_one_line_on_bad_input(biomem, tmp_path):
    done = biomem("load", tmp_path / "absent.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no file" in done.stderr
    assert "Traceback" not in done.stderr
