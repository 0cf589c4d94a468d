"""A full disk, a table that changes its shape, a role that loses its right, content and names that mean harm."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import psycopg
import pytest
from biomem.errors import BiomemError, SourceError
from biomem.source.mapping import CURSORS

T = "2025-01-01 00:00:00+00"
ROWS = 8_000
PULL = "from biomem.cli import main; main()"


@pytest.fixture
def small_disk(tmp_path):
    """Run `biomem source pull` where no file may grow beyond so many bytes: to DuckDB a disk that is full."""

    def run(home, dsn, file_bytes):
        return subprocess.run(
            [sys.executable, "-c", PULL, "--home", home, "source", "pull"],
            env={"BIOMEM_SOURCE_DSN": dsn, "TMPDIR": str(tmp_path)},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes)),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def fill(cluster, first, last):
    with cluster.connect(autocommit=True) as pg:
        # texts that do not compress
        words = "select string_agg(md5(n || '-' || i), ' ') from generate_series(1, 12) as i"
        pg.execute(
            f"insert into memories (memory_id, content, occurred_at) select 'm' || n, ({words}), '2025-01-01' "
            f"from generate_series({first:d}, {last:d}) as n"
        )


def test_a_full_disk_is_said_in_a_sentence_and_the_next_pull_does_it_all(cluster, pull, small_disk, settings):
    pull.map("xmin_window")
    fill(cluster, 1, 100)
    pull(cluster.dsn())
    before = pull.ask("from raw.memories order by memory_id"), pull.ask("from raw.watermarks")
    with cluster.connect(autocommit=True) as pg:
        pg.execute("update memories set content = content || ' more'")
    fill(cluster, 101, ROWS)
    done = small_disk(settings.home, cluster.dsn(), 2_500_000)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "Make room" in done.stderr
    assert before == (pull.ask("from raw.memories order by memory_id"), pull.ask("from raw.watermarks"))
    pull(cluster.dsn())
    assert pull.differences(cluster.dsn()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_small_disk_that_was_made_larger_goes_on(cluster, pull, tmp_path, settings):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        pull.settings = settings.__class__(**{**settings.__dict__, "home": disk / "home"})
        pull.map("xmin_window")
        fill(cluster, 1, ROWS)
        for _ in range(2):
            with pytest.raises(BiomemError, match="Make room"):
                pull(cluster.dsn())
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        pull(cluster.dsn())
        assert pull.differences(cluster.dsn()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("cursor", CURSORS)
@pytest.mark.parametrize(
    ("ddl", "says"),
    [
        ("alter table memories add column speaker text default 'ann'", None),
        ("alter table memories drop column importance", None),
        ("alter table memories drop column content", "no column for content"),
        ("alter table memories rename column content to words", "no column for content"),
        ("alter table memories alter column occurred_at type boolean using true", "column public.memories.occurred_at"),
        ("alter table memories alter column content type bytea using content::bytea", "column public.memories.content"),
        ("alter table memories alter column importance type double precision", None),
        ("alter table memories rename to elsewhere", "there is no table public.memories"),
    ],
)
def test_a_table_that_changes_its_shape_is_followed_or_refused_by_name(cluster, pull, cursor, ddl, says):
    pull.prepare(cursor, cluster.dsn())
    with cluster.connect(autocommit=True) as pg:
        pg.execute("insert into memories (memory_id, content, occurred_at) values ('a', 'old', %s)", [T])
        pull(cluster.dsn())
        pg.execute("insert into memories (memory_id, content, occurred_at) values ('b', 'new', %s)", [T])
        pg.execute(ddl)
        if says is None:
            pg.execute("update memories set content = 'edit' where memory_id = 'a'")
            pull(cluster.dsn())
            assert pull.ask("select memory_id, content from raw.memories order by 1") == [("a", "edit"), ("b", "new")]
            return
    with pytest.raises(SourceError, match=says):
        pull(cluster.dsn())
    assert pull.ask("select memory_id, content, deleted_at from raw.memories") == [("a", "old", None)]


@pytest.mark.parametrize("cursor", ["xmin_window", "xid8_column"])
def test_a_role_that_loses_its_right_to_read_is_told_which_and_nothing_changes(cluster, pull, cursor):
    pull.prepare(cursor, cluster.dsn())
    reader = psycopg.conninfo.make_conninfo(cluster.dsn(), user="reader")
    with cluster.connect(autocommit=True) as pg:
        pg.execute("create role reader login; grant select on memories to reader")
        pg.execute("insert into memories (memory_id, content, occurred_at) values ('a', 'old', %s)", [T])
        pull(reader)
        pg.execute("revoke select on memories from reader")
        with pytest.raises(SourceError, match=r'grant select on "public"\."memories" to "reader"'):
            pull(reader)
        pg.execute("grant select (memory_id) on memories to reader")
        with pytest.raises(SourceError, match="may not read"):
            pull(reader)
        assert pull.ask("select memory_id, deleted_at from raw.memories") == [("a", None)]
        pg.execute("grant select on memories to reader; update memories set content = 'new'")
    assert pull(reader).rows_updated == 1


@pytest.mark.parametrize("cursor", CURSORS)
def test_names_and_content_that_mean_harm_do_none(cluster, pull, cursor):
    schema, table, column = "s'; drop schema public; --", 'm"; select 1; --', "id\"' \u202e🧠"
    name, key = f'"{schema}"."{table.replace(chr(34), chr(34) * 2)}"', f'"{column.replace(chr(34), chr(34) * 2)}"'
    texts = {
        "'; delete from raw.memories; --": "$biomem$ \\'; drop table x; -- {{ 1 + 1 }} {} %s $1 :a",
        '{"a","b"}': "\\. \\N \t \r\n \u0001",
        "a\\b": "NULL",
        "": " ",
    }
    with cluster.connect(autocommit=True) as pg:
        pg.execute(f'create schema "{schema}"')
        pg.execute(f"create table {name} ({key} text primary key, content text, created_at timestamptz default now())")
        import yaml

        entry = {"table": name, "cursor": cursor, "columns": {"memory_id": column}}
        pull.settings.home.mkdir(parents=True, exist_ok=True)
        pull.settings.mapping_path.write_text(yaml.safe_dump({"sources": {"s'; --\"": entry}}, allow_unicode=True))
        pull.give(cursor, cluster.dsn())
        pull(cluster.dsn())
        for memory_id, text in texts.items():
            pg.execute(f"insert into {name} ({key}, content) values (%s, %s)", [memory_id, text])
        pull(cluster.dsn())
        pg.execute(f"update {name} set content = content || '!'")
        pg.execute(f"delete from {name} where {key} = 'a\\b'")
        pull(cluster.dsn(), reconcile=True)
    kept = pull.ask("select memory_id, content from raw.memories where deleted_at is null")
    assert dict(kept) == {memory_id: f"{text}!" for memory_id, text in texts.items() if memory_id != "a\\b"}
