"""Any endpoint that speaks OpenAI's embeddings protocol (Ollama, vLLM, llama.cpp, OpenAI). Off unless configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem.errors import ConfigurationError, EmbeddingError
from biomem.recall.models import ENDPOINT

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT_S = 60.0
CHARACTERS = 8_000
"""Most characters of a text that are sent: endpoints refuse what is longer than their model reads."""


class EndpointModel:
    """The model `name` (without its prefix) behind `url`, such as http://127.0.0.1:11434/v1."""

    def __init__(self, name: str, *, url: str | None, key: str | None) -> None:
        if not url:
            raise ConfigurationError(
                f"BIOMEM_EMBEDDINGS={name} needs BIOMEM_EMBEDDINGS_URL, such as http://127.0.0.1:11434/v1"
            )
        self.name = name
        self.url = url.rstrip("/") + "/embeddings"
        self._key = key

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Ask once for all `texts`; an empty one is sent as a space, which endpoints accept."""
        import httpx

        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        body = {
            "model": self.name.removeprefix(ENDPOINT),
            "input": [text[:CHARACTERS].replace("\x00", "") or " " for text in texts],
            "encoding_format": "float",
        }
        try:
            answer = httpx.post(self.url, json=body, headers=headers, timeout=TIMEOUT_S)
            answer.raise_for_status()
            rows = sorted(answer.json()["data"], key=lambda row: int(row["index"]))
            vectors = [_unit(row["embedding"]) for row in rows]
        except httpx.HTTPStatusError as error:
            raise EmbeddingError(
                f"{self.url} answered {error.response.status_code} for model {body['model']!r}: "
                f"{error.response.text[:200]}"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EmbeddingError(
                f"{self.url} cannot be asked ({error or type(error).__name__}); start it, or set BIOMEM_EMBEDDINGS"
            ) from error
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise EmbeddingError(
                f"{self.url} did not answer as OpenAI's embeddings protocol does: {error!r}"
            ) from error
        if len(vectors) != len(texts):
            raise EmbeddingError(f"{self.url} was sent {len(texts)} texts and answered with {len(vectors)} vectors")
        return vectors


def _unit(values: Any) -> list[float]:
    numbers = [float(value) for value in values]
    length = sum(number * number for number in numbers) ** 0.5
    if not 0 < length < float("inf"):
        raise ValueError("a vector without a direction")
    return [number / length for number in numbers]
