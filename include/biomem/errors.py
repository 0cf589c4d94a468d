"""Errors a person can act on: each says what went wrong, which thing it was, and what to do next."""

from __future__ import annotations


class BiomemError(Exception):
    """Base of every error the pipeline raises on purpose; the command line shows it without a stack trace."""


class ConfigurationError(BiomemError):
    """A setting, parameter or option is missing, malformed or out of range."""


class SourceError(BiomemError):
    """The source table cannot be read as it is: unreachable, refused, missing, or of the wrong shape."""


class InputError(BiomemError):
    """A file handed to the pipeline (CSV, JSONL) cannot be loaded as it is."""


class WarehouseError(BiomemError):
    """The DuckDB warehouse cannot be opened, is held by another process, or is of another version."""


class PublishError(BiomemError):
    """The target PostgreSQL refused what was to be published."""


class ServiceError(BiomemError):
    """A process that the pipeline starts itself (embedded PostgreSQL, Airflow) did not come up or died."""


class EmbeddingError(BiomemError):
    """Texts cannot be turned into vectors: the model is missing, cannot be reached, or answers with something else."""


class RecallError(BiomemError):
    """The target PostgreSQL refused a question."""
