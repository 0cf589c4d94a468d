"""What the doctor says: findings, each with a status and, where something is to be done, the fix."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FIX = "ok", "warn", "fix"


@dataclass(frozen=True)
class Finding:
    """`status`: ok, warn (pulls work, at a price that `text` names) or fix (they don't, or lose something).

    `fix` is what to do: a sentence, or SQL to run in the source.
    """

    check: str
    status: str
    text: str
    fix: str | None = None


@dataclass(frozen=True)
class Examination:
    """All findings on one source, or on its server when `source` is None."""

    source: str | None
    place: str
    findings: tuple[Finding, ...]

    @property
    def is_healthy(self) -> bool:
        return all(finding.status != FIX for finding in self.findings)
