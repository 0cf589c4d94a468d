"""dbt's own documentation of the models, behind the page's guard: Cosmos would show it to anybody."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from biomem.settings import load_settings
from fastapi import APIRouter, HTTPException, Response

router = APIRouter(prefix="/docs")
SCRIPT = re.compile(rb"<script[^>]*>(.*?)</script>", re.DOTALL)
# what was counted in a warehouse, which this does not open
NO_CATALOG: dict[str, Any] = {"metadata": {}, "nodes": {}, "sources": {}, "errors": None}


@router.get("/")
def page() -> Response:
    """Dbt's page of one file. It may run the scripts that are in it, by their digests, and no others."""
    content, policy = _page()
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/manifest.json")
def manifest() -> Response:
    path = load_settings().manifest_path
    if not path.exists():
        raise HTTPException(503, f"{path} is not there; `make setup` makes it")
    return Response(path.read_bytes(), media_type="application/json", headers={"Cache-Control": "no-cache"})


@router.get("/catalog.json")
def catalog() -> dict[str, Any]:
    return NO_CATALOG


@cache
def _page() -> tuple[bytes, str]:
    spec = find_spec("dbt")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = next((one for one in (Path(folder, "task/docs/index.html") for folder in folders) if one.exists()), None)
    if path is None:
        raise HTTPException(503, "this dbt brings no page of documentation along")
    content = path.read_bytes()
    digests = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in SCRIPT.findall(content))
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests)
    # its styles are written by its scripts, one by one: for those there is no digest
    return content, (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
