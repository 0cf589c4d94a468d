from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from biomem.errors import ConfigurationError, EmbeddingError
from biomem.recall.asking import Asker
from biomem.recall.embedding import embed_new, serving_model
from biomem.recall.models import DEFAULT, configured_model, load_model
from biomem.settings import load_settings
from biomem.warehouse.connection import open_warehouse


class Endpoint:
    """A small model behind OpenAI's embeddings protocol on loopback: one dimension for each of its words."""

    def __init__(self, url: str, words: list[str]) -> None:
        self.url, self.words = url, words
        self.asked: list[dict] = []
        self.authorization: str | None = None
        self.status = 200
        self.answer: object | None = None

    def vector(self, text: str) -> list[float]:
        return [1.0 + 9 * text.lower().count(word) for word in self.words]


@contextmanager
def serve(words):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            endpoint.asked.append(body)
            endpoint.authorization = self.headers["Authorization"]
            # out of order, as the protocol allows
            rows = [{"index": n, "embedding": endpoint.vector(text)} for n, text in enumerate(body["input"])][::-1]
            answer = {"data": rows} if endpoint.answer is None else endpoint.answer
            payload = json.dumps(answer).encode()
            self.send_response(endpoint.status if self.path == "/v1/embeddings" else 404)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_):
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", words)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def endpoint():
    with serve(["bird", "boat"]) as running:
        yield running


@pytest.fixture
def here(settings, endpoint):
    return replace(settings, embeddings="openai:toy", embeddings_url=endpoint.url, embeddings_key="k")


def vectors(target):
    return target.pg.execute(
        "select d.memory_id, v.model from memory.recall_vectors v "
        "join memory.recall_documents d using (agent_id, document) order by 1, 2"
    ).fetchall()


def test_new_texts_get_their_vectors_and_old_ones_are_not_asked_for_again(target, here, endpoint):
    target.remember("m1", "bird")
    target.remember("m2", "boat")
    first = embed_new(here, target.pg.info.dsn)
    assert (first.model, first.embedded, first.left) == ("openai:toy", 2, 0)
    assert serving_model(target.pg) == "openai:toy"
    assert endpoint.authorization == "Bearer k"
    assert endpoint.asked[0]["model"] == "toy"
    target.remember("m3", "bird bird")
    target.remember("m1", "another boat")
    assert embed_new(here, target.pg.info.dsn).embedded == 2
    assert sorted(endpoint.asked[-1]["input"]) == ["another boat", "bird bird"]
    assert embed_new(here, target.pg.info.dsn).embedded == 0
    assert len(endpoint.asked) == 2
    assert target.pg.execute("select model, dimensions from memory.embedding_models").fetchall() == [("openai:toy", 2)]


def test_the_speaker_is_no_part_of_what_a_vector_is_made_of(target, here, endpoint):
    target.remember("m1", "Mara: a bird", speaker="Mara")
    embed_new(here, target.pg.info.dsn)
    assert endpoint.asked[0]["input"] == ["a bird"]
    Asker(target.pg, here).recall("Which bird did Mara's friend see, Mara?", "ada", log=False)
    assert endpoint.asked[-1]["input"] == ["Which bird did  friend see, ?"]


def test_a_change_of_model_leaves_no_gap(target, here, endpoint):
    for number in range(3):
        target.remember(f"m{number}", f"a bird {number}", minute=number)
    embed_new(here, target.pg.info.dsn)
    other = replace(here, embeddings="openai:other")
    target.remember("new", "a boat", minute=9)
    # no time for all: the old model goes on serving, the new memory included
    assert embed_new(other, target.pg.info.dsn, seconds=0).left == 4
    assert serving_model(target.pg) == "openai:toy"
    (best, *_) = Asker(target.pg, other).recall("sea bird", "ada", 1, log=False)
    assert best.parts["meaning"] > 0
    assert endpoint.asked[-1]["model"] == "toy"
    result = embed_new(other, target.pg.info.dsn, seconds=None)
    assert result.left == 0
    assert serving_model(target.pg) == "openai:other"
    assert {model for _, model in vectors(target)} == {"openai:other"}
    Asker(target.pg, other).recall("sea bird", "ada", 1, log=False)
    assert endpoint.asked[-1]["model"] == "other"


def test_vectors_count_in_what_is_recalled(target, here):
    target.remember("m1", "bird")
    target.remember("m2", "boat", minute=500)
    embed_new(here, target.pg.info.dsn)
    found = Asker(target.pg, here).recall("seabird", "ada", log=False)
    assert found[0].memory_id == "m1"
    assert found[0].parts["meaning"] > found[1].parts["meaning"]
    assert Asker(target.pg, replace(here, embeddings="none")).recall("seabird", "ada", log=False) == []


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (500, None, "answered 500 for model 'toy'"),
        (200, {"data": []}, "sent 1 texts and answered with 0 vectors"),
        (200, {"data": [{"index": 0, "embedding": [0, 0]}]}, "did not answer as OpenAI's"),
        (200, {"data": [{"index": 0, "embedding": ["x"]}]}, "did not answer as OpenAI's"),
        (200, {"nothing": 1}, "did not answer as OpenAI's"),
        (200, ["a list"], "did not answer as OpenAI's"),
    ],
)
def test_an_endpoint_that_fails_is_named_and_recall_goes_on_by_words(target, here, endpoint, status, answer, told):
    target.remember("m1", "bird")
    embed_new(here, target.pg.info.dsn)
    target.remember("m2", "bird two")
    endpoint.status, endpoint.answer = status, answer
    with pytest.raises(EmbeddingError, match=told):
        embed_new(here, target.pg.info.dsn)
    asker = Asker(target.pg, here)
    assert {found.memory_id for found in asker.recall("bird", "ada", log=False)} == {"m1", "m2"}
    assert told in (asker.warning or "")


def test_an_endpoint_that_is_not_there_is_named(target, settings):
    gone = replace(settings, embeddings="openai:toy", embeddings_url="http://127.0.0.1:9/v1")
    target.remember("m1", "bird")
    with pytest.raises(EmbeddingError, match=r"127\.0\.0\.1:9/v1/embeddings cannot be asked"):
        embed_new(gone, target.pg.info.dsn)


def test_another_model_under_the_same_name_is_refused(target, here, endpoint):
    target.remember("m1", "bird")
    embed_new(here, target.pg.info.dsn)
    target.remember("m2", "boat")
    endpoint.words = ["bird", "boat", "tree"]
    with pytest.raises(EmbeddingError, match=r"3.*where 2 was expected"):
        embed_new(here, target.pg.info.dsn)


def test_no_embeddings_is_a_way_to_live(target, settings):
    none = replace(settings, embeddings="none")
    target.remember("m1", "bird")
    assert embed_new(none, target.pg.info.dsn).describe() == "no embeddings are configured"
    asker = Asker(target.pg, none)
    assert [found.memory_id for found in asker.recall("bird\x00 \udcff", "ada", log=False)] == ["m1"]
    assert asker.warning is None


def test_the_default_model_knows_what_means_the_same(target, settings):
    model = load_model(settings, DEFAULT)
    near, far, question = model.embed(
        ["She adopted a puppy from the shelter.", "The invoice is overdue.", "When did she get a dog?"]
    )
    assert sum(a * a for a in near) == pytest.approx(1)
    likeness = [sum(a * b for a, b in zip(question, vector, strict=True)) for vector in (near, far)]
    assert likeness[0] > likeness[1] + 0.2
    odd = ["", " ", "🙂" * 5_000, "a" * 100_000, "词" * 3_000, "\u202e\u0000"]
    assert model.embed(odd) != []
    alone, together = model.embed(["a heron"])[0], model.embed(["a heron", "a much longer text " * 20])[0]
    assert alone == pytest.approx(together, abs=0.05)


def test_the_default_model_serves_without_being_asked_for(target, settings):
    target.remember("m1", "We adopted a puppy")
    target.remember("m2", "The invoice is overdue", minute=500)
    assert embed_new(settings, target.pg.info.dsn).model == DEFAULT
    found = Asker(target.pg, settings).recall("Do they own any dogs?", "ada", log=False)
    assert found[0].memory_id == "m1"


def test_the_sources_own_vectors_are_taken_where_there_are_any(target, here, endpoint):
    own = replace(here, embeddings="source:openai:toy")
    for name in ("theirs", "none", "empty"):
        target.remember(name, f"bird {name}")
    with open_warehouse(own) as con:
        con.execute(
            "insert into raw.memories (source_name, memory_id, agent_id, content, occurred_at, batch_id, embedding) "
            "select 's', name, 'ada', 'x', '2026-01-01', 1, case name when 'theirs' then [3, 4]::float[] "
            "when 'empty' then [0, 0]::float[] end from (values ('theirs'), ('none'), ('empty')) as t (name)"
        )
    assert embed_new(own, target.pg.info.dsn).embedded == 3
    assert [sorted(asked["input"]) for asked in endpoint.asked] == [["bird empty", "bird none"]]
    assert target.pg.execute(
        "select embedding from memory.recall_vectors join memory.recall_documents using (agent_id, document) "
        "where memory_id = 'theirs'"
    ).fetchone() == (pytest.approx([0.6, 0.8]),)
    assert Asker(target.pg, own).recall("bird", "ada", 1, log=False)[0].parts["meaning"] > 0


@pytest.mark.parametrize("wanted", ["source:none", "sentence-transformers:", "openai:", "gpt", "ollama:x"])
def test_a_setting_that_names_no_model_is_refused(settings, wanted):
    with pytest.raises(ConfigurationError, match="BIOMEM_EMBEDDINGS="):
        configured_model(replace(settings, embeddings=wanted))


def test_an_endpoint_needs_an_address(settings):
    with pytest.raises(ConfigurationError, match="needs BIOMEM_EMBEDDINGS_URL"):
        load_model(replace(settings, embeddings_url=None), "openai:toy")


def test_the_settings_come_from_the_environment(tmp_path):
    there = load_settings(tmp_path, {"BIOMEM_EMBEDDINGS": "openai:x", "BIOMEM_EMBEDDINGS_KEY": "secret"})
    assert configured_model(there) == "openai:x"
    assert "secret" not in repr(there)
    assert configured_model(load_settings(tmp_path, {})) == DEFAULT


def test_sentence_transformers_that_is_not_installed_is_named(settings):
    try:
        import sentence_transformers  # noqa: F401
    except ImportError:
        with pytest.raises(EmbeddingError, match=r"pip install 'biomem\[sentence-transformers\]'"):
            load_model(settings, "sentence-transformers:any")
