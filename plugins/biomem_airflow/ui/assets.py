"""The page's own files: a fixed list, read once, under an address that changes with what they hold."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fastapi import HTTPException, Response

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOREVER = "private, max-age=31536000, immutable"


def page() -> Response:
    """The page, which names its files by the version that they have now."""
    text = _files()["index.html"].decode().replace("{version}", version())
    return Response(text, media_type=TYPES[".html"], headers={"Cache-Control": "no-cache"})


def file(path: str, *, is_versioned: bool) -> Response:
    """One of the files; any other path is 404, whatever it looks like."""
    content = _files().get(path)
    if content is None or path == "index.html":
        raise HTTPException(404, "there is no such file")
    cached = FOREVER if is_versioned else "no-cache"
    return Response(content, media_type=TYPES[Path(path).suffix], headers={"Cache-Control": cached})


@cache
def version() -> str:
    """A short name for what the files hold together."""
    digest = hashlib.sha256()
    for path, content in _files().items():
        digest.update(f"{path} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


@cache
def _files() -> dict[str, bytes]:
    return {
        path.relative_to(FOLDER).as_posix(): path.read_bytes()
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in TYPES
    }
