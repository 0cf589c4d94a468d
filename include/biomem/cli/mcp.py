"""`biomem mcp`: the memory as a server of the Model Context Protocol, for one agent or for several."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from biomem.cli.state import err_console, settings
from biomem.errors import ConfigurationError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biomem.demo.postgres import Connections
    from biomem.settings import Settings

PORT = 8765


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(mcp)


def mcp(
    ctx: typer.Context,
    agent: Annotated[str | None, typer.Option("--agent", help="Whose memory is served.")] = None,
    http: Annotated[bool, typer.Option("--http", help="Serve streamable HTTP instead of stdio.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on, with --http.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on, with --http.")] = PORT,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File of `agent: token` lines, with --http. Default: BIOMEM_MCP_TOKEN_FILE."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Name under which a proxy passes requests on; may be repeated.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Source that memories are written to, if there are several.")
    ] = None,
) -> None:
    """Serve an agent's memory over the Model Context Protocol: recall, remember, forget, working_memory, explain.

    Over stdio (the default, for a client that starts this command) it is the memory of --agent. With --http every
    request needs a token, and the token says whose memory it is: BIOMEM_MCP_TOKEN for --agent, or a file of them.
    """
    from biomem.mcp.service import make_service

    here = settings(ctx)
    if not http and agent is None:
        raise ConfigurationError("say whose memory is served: biomem mcp --agent NAME")
    tokens = None
    if http:
        from biomem.mcp.identity import load_tokens

        tokens = load_tokens(here, token_file, agent)
    with _connections(here) as at:
        service = make_service(here, at, source)
        from biomem.mcp.server import PATH, make_http_app, make_server

        server = make_server(service, agent, tokens)
        if not http:
            server.run()
            return
        err_console.print(f"serving http://{host}:{port}{PATH}; Ctrl-C ends it", highlight=False, soft_wrap=True)
        _serve(make_http_app(server, host, allowed_host or ()), host, port)


def _serve(app: object, host: str, port: int) -> None:
    import uvicorn

    # requests are not logged: who asks and what is nobody else's business
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False))  # type: ignore[arg-type]
    try:
        server.run()
    except SystemExit:
        raise ServiceError(f"cannot listen on {host}:{port}: is the port taken? Choose another with --port") from None


@contextmanager
def _connections(here: Settings) -> Iterator[Connections]:
    """Where to connect to, without asking whether anybody answers: a server outlives its database's absence."""
    from biomem.demo.postgres import Connections, connections
    from biomem.source.dsn import normalise

    if here.source_dsn is None:
        from biomem.demo.load import prepare_home

        with connections(here) as at:
            prepare_home(here, at)
            yield at
        return
    source = normalise(here.source_dsn)
    yield Connections(source, normalise(here.target_dsn) if here.target_dsn else source, is_embedded=False)
