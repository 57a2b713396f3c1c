"""Where the service is and what opens it: read from the environment and files, never a token from argv."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from carina_cli.errors import TokenMissing, UsageMistake

DEFAULT_ENDPOINT = "http://127.0.0.1:8440"
DEFAULT_HOME = "/var/lib/carina"


def check_endpoint(endpoint: str) -> str:
    """Return the service's address without a trailing slash, or raise `UsageMistake` if it is no http(s) URL."""
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageMistake(
            f"{endpoint!r} is not the address of a service.",
            remedy=f"Give --endpoint or CARINA_ENDPOINT a URL such as {DEFAULT_ENDPOINT}.",
        )
    return endpoint.rstrip("/")


def token_file() -> Path:
    """Return the file that the token is read from when CARINA_TOKEN is not set."""
    named = os.environ.get("CARINA_TOKEN_FILE")
    return Path(named) if named else Path(os.environ.get("CARINA_HOME") or DEFAULT_HOME) / "admin-token"


def read_token() -> str:
    """Return the token from CARINA_TOKEN or the token's file, or raise `TokenMissing`."""
    token = os.environ.get("CARINA_TOKEN", "").strip()
    if token:
        return _check_token(token, "CARINA_TOKEN")
    path = token_file()
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise TokenMissing(
            "There is no token to show the service.",
            f"CARINA_TOKEN is not set, and {path} can't be read: {reason}.",
            "Set CARINA_TOKEN, or CARINA_TOKEN_FILE to a file that holds the token. The service keeps the"
            " administrator's in admin-token in its home, readable by its own user.",
        ) from error
    if not token:
        raise TokenMissing(f"The token's file {path} is empty.", remedy="Set CARINA_TOKEN or CARINA_TOKEN_FILE.")
    return _check_token(token, str(path))


def clusters_dir() -> Path:
    """Return the directory that keeps the credentials of this person's clusters, one folder a cluster id."""
    return Path.home() / ".carina" / "clusters"


def _check_token(token: str, source: str) -> str:
    """Return the token if it can go into a header. The token itself is never shown."""
    if token.isascii() and token.isprintable() and " " not in token:
        return token
    raise TokenMissing(
        f"What {source} holds is not a token.",
        "A token is one line of printable ASCII without spaces.",
        "Set CARINA_TOKEN or CARINA_TOKEN_FILE.",
    )
