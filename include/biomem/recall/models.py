"""Embedding models by name: the installed one, those of sentence-transformers, and OpenAI-compatible endpoints.

A model's name says all that is needed to make it again, since a question must be embedded by the model whose vectors
are in service, which for a while is not the one that is configured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from biomem.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biomem.settings import Settings

    Vector = list[float]

DEFAULT = "all-MiniLM-L6-v2-int8"
SENTENCE_TRANSFORMERS, ENDPOINT = "sentence-transformers:", "openai:"
OWN = "source:"
"""Before a model's name: the source's own vectors were made by that model and are taken where there are any."""


class EmbeddingModel(Protocol):
    """Turns texts into vectors of length 1."""

    @property
    def name(self) -> str:
        """What the model is called in `memory.embedding_models`."""

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector a text, all of the same number of dimensions. Raises EmbeddingError when that fails."""


def configured_model(settings: Settings) -> str | None:
    """Name of the model that BIOMEM_EMBEDDINGS asks for; None when it says `none`.

    Raises ConfigurationError for a value that names no model.
    """
    wanted = settings.embeddings
    if wanted == "none":
        return None
    own, made_by = (OWN, wanted[len(OWN) :]) if wanted.startswith(OWN) else ("", wanted)
    name = DEFAULT if made_by == "default" else made_by
    if name == DEFAULT or any(
        name.startswith(kind) and len(name) > len(kind) for kind in (SENTENCE_TRANSFORMERS, ENDPOINT)
    ):
        return own + name
    raise ConfigurationError(
        f"BIOMEM_EMBEDDINGS={wanted!r} names no model; it is default, none, {SENTENCE_TRANSFORMERS}NAME or "
        f"{ENDPOINT}NAME (with BIOMEM_EMBEDDINGS_URL), after {OWN} when the source has vectors of that model"
    )


def load_model(settings: Settings, name: str) -> EmbeddingModel:
    """The model called `name`, ready to embed. Raises EmbeddingError when it is not installed or not configured."""
    name = name.removeprefix(OWN)
    if name.startswith(SENTENCE_TRANSFORMERS):
        from biomem.recall.sentence_transformers import SentenceTransformerModel

        return SentenceTransformerModel(name)
    if name.startswith(ENDPOINT):
        from biomem.recall.endpoint import EndpointModel

        return EndpointModel(name, url=settings.embeddings_url, key=settings.embeddings_key)
    from biomem.recall.minilm import MiniLM

    return MiniLM()
