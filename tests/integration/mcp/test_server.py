"""What an agent can do over the protocol, and what it cannot: the SDK's own client against the real command."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import httpx2
import psycopg
import pytest
from biomem.parameters import load_parameters
from biomem.source.mapping import load_sources
from biomem.source.pull import pull_all
from biomem.warehouse.connection import open_warehouse
from biomem.warehouse.context import begin_stage, complete_stage
from biomem.warehouse.publish import publish_stage
from biomem.warehouse.target_schema import ensure_target_schema
from biomem.warehouse.transform import run_models

sys.path.insert(0, str(Path(__file__).parent))
from conftest import TOKENS, over_http, run

STAGE = "short_term_memory"
HOSTILE = "'; drop table memories; -- %s {x} \\N <script>alert(1)</script> 😀 עברית 一二三 \u202e"


async def call(client, tool, **arguments):
    """The structured answer of a tool that succeeds."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


async def refused(client, tool, **arguments):
    """The message of a tool that does not."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return result.content[0].text


def test_an_agent_remembers_sees_explains_and_forgets_over_stdio(world):
    async def main():
        async with world.stdio("ada") as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"recall", "remember", "forget", "working_memory", "explain"}
            assert all(tool.output_schema for tool in tools.values())
            assert not any("agent" in name for tool in tools.values() for name in tool.input_schema["properties"])

            held = await call(client, "working_memory")
            assert [(one["rank"], one["memory_id"]) for one in held["memories"]] == [(1, "a1")]
            assert held["as_of"] == "2026-01-02T00:00:00Z"
            assert held["age_s"] > 0

            story = await call(client, "explain", memory_id="a1")
            assert [event["what"] for event in story["story"]] == ["encode", "restudy", "demote"]
            assert "retention .590 < .600" in story["story"][2]["words"]

            done = await call(
                client, "remember", content=HOSTILE, session="s1", speaker="me", tags=["tea", "a,b"], importance=0.9
            )
            assert done["stored_in"] == "public.memories"
            assert done["not_stored"] == ["importance"]
            gone = await call(client, "forget", memory_id="a2")
            assert {one["memory_id"]: one["how"] for one in gone["forgotten"]} == {"a1": "deleted", "a2": "deleted"}
            return done["memory_id"]

    memory_id = run(main())
    assert world.pg.execute(
        "select memory_id, agent_id, content, session_id, speaker, tags, "
        "abs(extract(epoch from now() - occurred_at)) < 60 from memories where agent_id = 'ada'"
    ).fetchall() == [(memory_id, "ada", HOSTILE, "s1", "me", ["tea", "a,b"], True)]


def test_the_working_memory_is_a_resource(world):
    async def main():
        async with world.stdio("milo") as client:
            (listed,) = (await client.list_resources()).resources
            assert str(listed.uri) == "memory://working-memory"
            read = await client.read_resource("memory://working-memory")
            return json.loads(read.contents[0].text)

    assert [one["content"] for one in run(main())["memories"]] == ["The safe opens with 4711"]


def test_agents_over_http_are_told_apart_by_their_tokens_alone(world):
    async def asks(url, agent, own, others):
        async with over_http(url, TOKENS[agent]) as client:
            for _ in range(5):
                held = await call(client, "working_memory")
                assert [one["memory_id"] for one in held["memories"]] == [own]
                assert (await call(client, "explain", memory_id=own))["memory"]["agent_id"] == agent
                read = await client.read_resource("memory://working-memory")
                assert [one["memory_id"] for one in json.loads(read.contents[0].text)["memories"]] == [own]
                for tool in ("explain", "forget"):
                    assert "no memory" in await refused(client, tool, memory_id=others)
            # an argument that no tool has changes nothing
            await client.call_tool("remember", {"content": "mine", "agent_id": "milo", "agent": "milo"})

    async def main(url):
        await asyncio.gather(asks(url, "ada", "a1", "m1"), asks(url, "milo", "m1", "a1"))

    with world.http() as url:
        run(main(url))
    rows = world.pg.execute("select agent_id, count(*) from memories where content = 'mine' group by 1 order by 1")
    assert rows.fetchall() == [("ada", 1), ("milo", 1)]
    assert world.pg.execute("select count(*) from memories").fetchone() == (5,)


def test_http_answers_nobody_without_the_right_token_and_no_foreign_page(world):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    right = f"Bearer {TOKENS['ada']}"
    with world.http() as url, httpx2.Client(headers=headers, trust_env=False) as http:

        def status(**more):
            return http.post(url, json=message, headers=more).status_code

        assert status() == 401
        assert status(Authorization="Bearer " + "x" * 40) == 401
        assert status(Authorization=right[:-1]) == 401
        assert status(Authorization=right + "x") == 401
        assert status(Authorization="Basic " + TOKENS["ada"]) == 401
        assert status(Authorization=right, Host="evil.example") == 421
        assert status(Authorization=right, Origin="https://evil.example") == 403
        assert status(Authorization=right) < 400
        assert http.get(url).status_code == 401
        too_much = json.dumps({**message, "params": {"x": "y" * 5_000_000}}).encode()
        assert http.post(url, content=too_much, headers={"Authorization": right}).status_code == 413
        assert status(Authorization=right) < 400
    log = (world.home / "mcp.log").read_text()
    assert not any(token in log for token in TOKENS.values())


def test_input_out_of_bounds_is_refused_in_words(world):
    async def main():
        async with world.stdio("ada") as client:
            for k in (0, -1, 101, 10_000):
                assert "k" in await refused(client, "recall", question="kettle", k=k)
            assert "forgotten" in await refused(client, "recall", question="kettle", forgotten="maybe")
            huge = await refused(client, "recall", question="x" * 100_001)
            assert "question" in huge
            assert len(huge) < 2_000
            assert "content" in await refused(client, "remember", content="x" * 1_000_001)
            assert "empty" in await refused(client, "remember", content=" \n")
            assert "NUL" in await refused(client, "remember", content="a\0b")
            assert "NUL" in await refused(client, "explain", memory_id="a\0b")
            assert "no memory" in await refused(client, "explain", memory_id=HOSTILE)
            assert "no memory" in await refused(client, "forget", memory_id=HOSTILE)
            await call(client, "remember", content="x" * 1_000_000)
            await call(client, "working_memory")

    run(main())
    assert world.pg.execute("select count(*) from memories").fetchone() == (4,)


def test_the_server_outlives_a_database_that_is_away(world):
    name = world.pg.info.dbname
    other = psycopg.conninfo.make_conninfo(world.dsn, dbname="postgres")
    world.pg.close()

    async def main():
        async with world.stdio("ada") as client:
            await call(client, "working_memory")
            with psycopg.connect(other, autocommit=True) as admin:
                admin.execute(f"alter database {name} rename to {name}_away")
                try:
                    for tool, arguments in [("working_memory", {}), ("remember", {"content": "x"})]:
                        message = await refused(client, tool, **arguments)
                        assert "there is no such database" in message
                finally:
                    admin.execute(f"alter database {name}_away rename to {name}")
            await call(client, "working_memory")

    run(main())


def test_a_server_that_cannot_be_reached_is_told_with_its_address_and_without_its_password(world):
    away = "postgresql://ada:hidden-word@127.0.0.1:1/nowhere"

    async def main():
        async with world.stdio("ada", BIOMEM_SOURCE_DSN=away) as client:
            return [await refused(client, "working_memory"), await refused(client, "remember", content="x")]

    for message in run(main()):
        assert "at 127.0.0.1:1) does not answer" in message
        assert "hidden-word" not in message


def test_nothing_published_yet_is_told_as_such(world):
    world.pg.execute("drop schema memory cascade")

    async def main():
        async with world.stdio("ada") as client:
            assert "nothing was published yet" in await refused(client, "working_memory")
            done = await call(client, "remember", content="first")
            await call(client, "forget", memory_id=done["memory_id"])

    run(main())
    assert world.pg.execute("select count(*) from memories").fetchone() == (3,)


def test_a_fresh_home_takes_its_first_memory_from_an_agent(world):
    async def main():
        async with world.stdio("ada", BIOMEM_SOURCE_DSN="") as client:
            assert "nothing was published yet" in await refused(client, "working_memory")
            done = await call(client, "remember", content="Mara moved to Lisbon.")
            await call(client, "forget", memory_id=done["memory_id"])

    run(main())


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        ([], {}, "whose memory"),
        (["--http"], {}, "needs a token"),
        (["--http"], {"BIOMEM_MCP_TOKEN": "x" * 32}, "name it with --agent"),
        (["--http", "--agent", "ada"], {"BIOMEM_MCP_TOKEN": "short"}, "at least 20"),
        (["--agent", "ada", "--source", "nowhere"], {}, "no source 'nowhere'"),
    ],
)
def test_the_command_says_what_it_is_missing(world, options, environment, message):
    import subprocess

    command = [sys.executable, "-m", "biomem_airflow", "mcp", *options]
    done = subprocess.run(
        command, env={**world.environment, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "short" not in done.stderr


def test_what_is_recalled_is_ones_own_whatever_is_asked(world):
    questions = ["what colour is the kettle", "the safe opens with 4711", HOSTILE, "milo", "x" * 100_000, "", "m1 4711"]

    async def main():
        async with world.stdio("ada") as client:
            found = [await call(client, "recall", question=question, k=100) for question in questions]
            everything = await call(client, "recall", question="kettle safe", forgotten="all", k=100)
            return [*found, everything]

    answers = run(main())
    assert {one["memory_id"] for answer in answers for one in answer["memories"]} == {"a1", "a2"}
    best = answers[0]["memories"][0]
    assert best["content"].startswith("The kettle is blue")
    assert best["score"] == pytest.approx(sum(part for part in best["parts"].values() if isinstance(part, int | float)))
    logged = world.pg.execute("select distinct agent_id, memory_id from memory.access_log order by 2").fetchall()
    assert logged == [("ada", "a1"), ("ada", "a2")]


def test_the_database_holds_the_line_too_where_the_server_has_a_role_of_its_own(world):
    world.pg.execute("create role ada_reader login; grant memory_reader to ada_reader")
    world.pg.execute("insert into memory.role_agents values ('ada_reader', 'ada')")
    target = psycopg.conninfo.make_conninfo(world.dsn, user="ada_reader")

    async def seen(agent):
        async with world.stdio(agent, BIOMEM_TARGET_DSN=target) as client:
            held = await call(client, "working_memory")
            found = await call(client, "recall", question="kettle safe", forgotten="all")
            return {one["memory_id"] for answer in (held, found) for one in answer["memories"]}

    try:
        assert run(seen("ada")) == {"a1", "a2"}
        assert run(seen("milo")) == set()
    finally:
        world.pg.execute("drop owned by ada_reader; drop role ada_reader")


def test_a_memory_written_in_one_call_is_recalled_and_explained_in_the_next_window(dsn, settings, world):
    world.pg.execute("drop schema memory cascade")
    ensure_target_schema(dsn)

    async def main():
        async with world.stdio("ada") as client:
            done = await call(client, "remember", content="Grandmother's recipe wants cardamom, not cinnamon.")
            assert (await call(client, "recall", question="Which spice does the recipe want?"))["memories"] == []
            await asyncio.to_thread(window, settings, dsn)
            (found,) = (await call(client, "recall", question="Which spice does the recipe want?", k=1))["memories"]
            assert found["memory_id"] == done["memory_id"]
            held = await call(client, "working_memory")
            assert done["memory_id"] in [one["memory_id"] for one in held["memories"]]
            story = await call(client, "explain", memory_id=done["memory_id"])
            assert [event["what"] for event in story["story"]] == ["encode", "retrieve"]
            await call(client, "forget", memory_id=done["memory_id"])
            await asyncio.to_thread(window, settings, dsn)
            left = await call(client, "recall", question="Which spice does the recipe want?", forgotten="all", k=100)
            assert done["memory_id"] not in [one["memory_id"] for one in left["memories"]]
            assert "no memory" in await refused(client, "explain", memory_id=done["memory_id"])

    run(main())


def window(settings, dsn):
    """What the DAG short_term_memory does every 30 seconds; all keys are compared."""
    as_of = datetime.now(timezone.utc)
    run_id = f"window-{as_of.isoformat()}"
    with open_warehouse(settings) as con:
        pull_all(con, load_sources(settings), source_dsn=dsn, target_dsn=dsn, as_of=as_of, reconcile=True)
        begin_stage(con, STAGE, run_id=run_id, as_of=as_of, params_hash="p")
    run_models(settings, "--select", f"tag:{STAGE}")
    with open_warehouse(settings) as con:
        publish_stage(con, STAGE, dsn=dsn, run_id=run_id, parameters=load_parameters(settings))
        complete_stage(con, STAGE, run_id)
