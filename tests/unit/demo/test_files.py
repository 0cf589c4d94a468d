from __future__ import annotations

import gzip
import json
from datetime import datetime, timezone

import pytest
from biomem.demo.files import MemoryFile, parse_time
from biomem.errors import InputError

UTC = timezone.utc


def rows_of(path, **columns):
    return list(MemoryFile(path, columns).rows())


@pytest.fixture
def write(tmp_path):
    def write(name, data):
        path = tmp_path / name
        data = data.encode() if isinstance(data, str) else data
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "moment", "is_day"),
    [
        ("2026-03-02T10:15:00Z", datetime(2026, 3, 2, 10, 15, tzinfo=UTC), False),
        ("2026-03-02 10:15", datetime(2026, 3, 2, 10, 15, tzinfo=UTC), False),
        ("2026-03-02T10:15:00.123456789+02:00", datetime(2026, 3, 2, 8, 15, 0, 123456, tzinfo=UTC), False),
        ("2026-03-02 10:15:00+0530", datetime(2026, 3, 2, 4, 45, tzinfo=UTC), False),
        ("2026/3/2", datetime(2026, 3, 2, tzinfo=UTC), True),
        ("1660-01-01", datetime(1660, 1, 1, tzinfo=UTC), True),
        ("3026-01-01T00:00:00Z", datetime(3026, 1, 1, tzinfo=UTC), False),
        (1772446500, datetime(2026, 3, 2, 10, 15, tzinfo=UTC), False),
        ("1772446500000", datetime(2026, 3, 2, 10, 15, tzinfo=UTC), False),
        (-86400, datetime(1969, 12, 31, tzinfo=UTC), False),
    ],
)
def test_times_are_read_as_people_write_them(text, moment, is_day):
    assert parse_time(text, "occurred_at") == (moment, is_day)


@pytest.mark.parametrize("text", ["", None, "yesterday", "2026-02-30", "2026-13-01T00:00", "02.03.2026", True, 1e300])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="occurred_at"):
        parse_time(text, "occurred_at")


def test_columns_are_found_by_the_names_people_use(write):
    path = write("a.csv", "Id,Text,Created At,Role,Mood\n7,hello,2026-03-02T10:00Z,user,fine\n")
    file = MemoryFile(path)
    [row] = file.rows()
    assert (row.memory_id, row.content, row.speaker, row.line) == ("7", "hello", "user", 2)
    assert file.ignored == ["Mood"]


def test_columns_can_be_named(write):
    path = write("a.csv", "nr;wat;wanneer\n1;hallo;2026-03-02\n")
    [row] = rows_of(path, memory_id="nr", content="wat", occurred_at="wanneer")
    assert (row.memory_id, row.content, row.is_dated) == ("1", "hallo", True)


def test_jsonl_has_all_fields(write):
    record = {
        "memory_id": "a/1",
        "agent_id": "ada",
        "session": 3,
        "occurred_at": "2026-03-02T10:00:00Z",
        "speaker": "noor",
        "content": "hi",
        "tags": ["x", "y"],
        "importance": 0.5,
        "arousal": 1,
        "metadata": {"k": [1]},
        "accesses": [{"at": "2026-03-03", "grade": 4}, "2026-03-04T00:00:00Z"],
    }
    [row] = rows_of(write("a.jsonl.gz", json.dumps(record) + "\n\n"))
    assert (row.memory_id, row.agent_id, row.session_id, row.tags, row.arousal) == ("a/1", "ada", "3", ["x", "y"], 1.0)
    assert [(access.kind, access.grade) for access in row.accesses] == [("retrieve", 4), ("retrieve", 3)]


def test_a_quoted_text_may_span_lines_and_the_next_error_names_its_own_line(write):
    path = write("a.csv", 'id,text,date\n1,"two\nlines",2026-01-01\n2,x,never\n')
    with pytest.raises(InputError, match=r"line 4: occurred_at 'never'"):
        rows_of(path)


def test_a_byte_order_mark_is_no_part_of_the_first_name(write):
    [row] = rows_of(write("a.csv", b"\xef\xbb\xbfid,text,date\r\n1,x,2026-01-01\r\n"))
    assert row.memory_id == "1"


def test_a_gzip_file_is_known_by_its_content_not_its_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(b"id,text,date\n1,x,2026-01-01\n"))
    assert len(rows_of(path)) == 1


@pytest.mark.parametrize("text", ["", "   ", "null"])
def test_blank_text_is_no_text(write, text):
    value = "null" if text == "null" else json.dumps(text)
    [row] = rows_of(write("a.jsonl", f'{{"id": "1", "content": {value}, "occurred_at": "2026-01-01"}}'))
    assert row.content is None


def test_a_megabyte_of_emoji_and_arabic_comes_back_as_it_was(write):
    text = "🌷 سلام " * 70_000
    [row] = rows_of(write("a.jsonl", json.dumps({"id": "1", "content": text, "occurred_at": "2026-01-01"})))
    assert row.content == text


BAD = {
    "not there": ("absent.csv", None, "there is no file"),
    "another kind": ("a.xlsx", "x", r"\.csv, \.tsv and \.jsonl"),
    "no content column": ("a.csv", "id,words,date\n1,x,2026-01-01\n", r"no column for content; .*'words'.*--content"),
    "no time column": ("a.csv", "id,text\n1,x\n", r"no column for occurred_at.*--occurred-at"),
    "column twice": ("a.csv", "id,text,text,date\n1,x,y,2026-01-01\n", "'text' is there more than once"),
    "short row": ("a.csv", "id,text,date\n1,x,2026-01-01\n2,x\n", "line 3: 2 values where the header has 3"),
    "open quote": ("a.csv", 'id,text,date\n1,"x,2026-01-01\n', "line 2: not valid CSV"),
    "bad date": ("a.csv", "id,text,date\n1,x,2026-02-31\n", "line 2: occurred_at '2026-02-31'"),
    "empty id": ("a.csv", "id,text,date\n,x,2026-01-01\n", "line 2: memory_id is empty"),
    "NUL": ("a.csv", "id,text,date\n1,a\0b,2026-01-01\n", "line 2: .*NUL"),
    "NUL in JSON": (
        "a.jsonl",
        '{"id": "1", "content": "a\\u0000b", "occurred_at": "2026-01-01"}',
        "line 1: content holds a NUL",
    ),
    "half a surrogate": (
        "a.jsonl",
        '{"id": "1", "content": "\\ud800", "occurred_at": "2026-01-01"}',
        "line 1: .*surrogate",
    ),
    "not UTF-8": ("a.csv", b"id,text,date\n1,caf\xe9,2026-01-01\n", "line 2: not UTF-8 .*0xe9"),
    "broken JSON": ("a.jsonl", '{"id": 1,\n', "line 1: not valid JSON"),
    "no object": ("a.jsonl", "[1]\n", "line 1: expected a JSON object"),
    "number as content": ("a.jsonl", '{"id": 1, "content": 5, "occurred_at": "2026-01-01"}', "content must be text"),
    "too important": (
        "a.jsonl",
        '{"id": 1, "content": "x", "occurred_at": "2026-01-01", "importance": 7}',
        "importance must be a number from 0 to 1",
    ),
    "tags that are none": (
        "a.jsonl",
        '{"id": 1, "content": "x", "occurred_at": "2026-01-01", "tags": 3}',
        "tags must be a list",
    ),
    "metadata that is none": (
        "a.jsonl",
        '{"id": 1, "content": "x", "occurred_at": "2026-01-01", "metadata": [1]}',
        "metadata must be a JSON object",
    ),
    "NUL in metadata": (
        "a.jsonl",
        '{"id": 1, "content": "x", "occurred_at": "2026-01-01", "metadata": {"a": "\\u0000"}}',
        "metadata holds a NUL",
    ),
    "access of no grade": (
        "a.jsonl",
        '{"id": 1, "content": "x", "occurred_at": "2026-01-01", "accesses": [{"at": "2026-01-02", "grade": 9}]}',
        "grade from 1 to 4",
    ),
}


@pytest.mark.parametrize(("name", "data", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(write, tmp_path, name, data, message):
    path = tmp_path / name if data is None else write(name, data)
    with pytest.raises(InputError, match=message):
        rows_of(path)


def test_a_named_column_that_is_not_there_lists_those_that_are(write):
    path = write("a.csv", "id,text,date\n1,x,2026-01-01\n")
    with pytest.raises(InputError, match=r"no column 'body' \(given by --content\).*'id', 'text', 'date'"):
        rows_of(path, content="body")


def test_a_cut_off_gzip_file_is_named(tmp_path):
    path = tmp_path / "a.csv.gz"
    whole = gzip.compress(b"id,text,date\n" + b"".join(b"%d,x,2026-01-01\n" % n for n in range(5000)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut off or damaged"):
        rows_of(path)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        rows_of(tmp_path / "a.csv")
