"""Models of the package sentence-transformers, an optional extra. Off unless configured; it may download weights."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from biomem.errors import EmbeddingError
from biomem.recall.models import SENTENCE_TRANSFORMERS

if TYPE_CHECKING:
    from collections.abc import Sequence


class SentenceTransformerModel:
    """The model `name` without its prefix: a name on the hub, or a folder."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._model = _loaded(name.removeprefix(SENTENCE_TRANSFORMERS))

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The vectors, scaled to length 1."""
        vectors: list[list[float]] = self._model.encode(
            list(texts), normalize_embeddings=True, show_progress_bar=False
        ).tolist()
        return vectors


@lru_cache(maxsize=2)
def _loaded(model: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EmbeddingError(
            "sentence-transformers is not installed; `pip install 'biomem[sentence-transformers]'`, or choose another "
            "BIOMEM_EMBEDDINGS"
        ) from error
    try:
        return SentenceTransformer(model)
    except (OSError, ValueError) as error:
        raise EmbeddingError(f"sentence-transformers cannot load {model!r}: {error}") from error
