"""Who asks: over HTTP each token stands for one agent, and nothing else in a request says whose memory it is about."""

from __future__ import annotations

import hashlib
import hmac
import stat
from typing import TYPE_CHECKING

from biomem.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from biomem.settings import Settings

SHORTEST_TOKEN = 20  # characters; 20 random letters and digits are more than 100 bits


class Tokens:
    """Tokens and their agents. Only digests are kept, so that no token can show up in a dump or a message."""

    def __init__(self, agents: dict[str, str]) -> None:
        """`agents` maps each token to its agent. Raises ConfigurationError for a token that can be guessed."""
        for token, agent in agents.items():
            if len(token) < SHORTEST_TOKEN or not token.isascii() or any(c.isspace() for c in token):
                raise ConfigurationError(
                    f"the token of agent {agent!r} must have at least {SHORTEST_TOKEN} letters, digits or marks, "
                    "no spaces; `openssl rand -hex 32` makes a good one"
                )
        self._agents = [(_digest(token), agent) for token, agent in agents.items()]

    def agent_of(self, token: str) -> str | None:
        """The agent that `token` stands for; takes as long for a wrong token as for any right one."""
        asked = _digest(token)
        found = None
        for known, agent in self._agents:
            if hmac.compare_digest(asked, known):
                found = agent
        return found


def load_tokens(settings: Settings, token_file: Path | None, agent: str | None) -> Tokens:
    """The tokens of the file (`agent: token` or `agent: [token, token]` a line), or the one of BIOMEM_MCP_TOKEN.

    Raises ConfigurationError when there is none, when the file is open to other users, or when one token stands for
    two agents; never quotes a token.
    """
    path = token_file or settings.mcp_token_file
    if path is not None:
        return Tokens(_read(path))
    if settings.mcp_token is None:
        raise ConfigurationError(
            "the HTTP server needs a token: set BIOMEM_MCP_TOKEN (with --agent), or write `agent: token` lines into a "
            "file and name it with --token-file"
        )
    if agent is None:
        raise ConfigurationError("BIOMEM_MCP_TOKEN stands for one agent: name it with --agent")
    return Tokens({settings.mcp_token: agent})


def _read(path: Path) -> dict[str, str]:
    import yaml

    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigurationError(f"{path} can be read by other users of this machine: chmod 600 {path}")
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"the tokens cannot be read from {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        # the cause would quote a line, and the line holds a token
        raise ConfigurationError(f"{path} is not YAML; write one `agent: token` a line") from None
    if not isinstance(found, dict) or not found:
        raise ConfigurationError(f"{path} holds no tokens; write one `agent: token` a line")
    agents: dict[str, str] = {}
    for agent, tokens in found.items():
        for token in tokens if isinstance(tokens, list) else [tokens]:
            if not isinstance(token, str):
                raise ConfigurationError(f"{path}: the token of agent {agent!r} must be a text; put it into quotes")
            if agents.setdefault(token, str(agent)) != str(agent):
                raise ConfigurationError(f"{path}: agents {agents[token]!r} and {agent!r} have the same token")
    return agents


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
