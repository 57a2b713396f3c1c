"""The public keys by which hosts are known: as people give them, and as they compare them.

A key is written as in known_hosts(5): its type and its base64. Its fingerprint is that of OpenSSH, as `ssh-keygen -lf`
prints it.
"""

import base64
import binascii
import hashlib
import re
import sys
from pathlib import Path

from carina_cli.errors import Missing, UsageMistake

_KEY = re.compile(r"(?<!\S)((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[\w.@-]+) +([A-Za-z0-9+/]+={0,2})(?!\S)")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_BEST_FIRST = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
_REMEDY = "Give a public key such as 'ssh-ed25519 AAAA...', a file that has it, - for standard input, or a fingerprint."


def is_fingerprint(text: str) -> bool:
    """Tell whether `text` is a fingerprint rather than a key: SHA256: and 43 digits of base64."""
    return _FINGERPRINT.fullmatch(text) is not None


def read_key(given: str) -> str:
    """Return the key that is given: itself, in a file (public key, known_hosts, ssh-keyscan), or at stdin with `-`.

    Of several, the first of the type that is best. Raises `UsageMistake`, `Missing`.
    """
    if given == "-":
        text, where = sys.stdin.read(), "standard input"
    elif _KEY.search(given):
        text, where = given, "what was typed"
    else:
        try:
            text, where = Path(given).expanduser().read_text(encoding="utf-8"), given
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise Missing(f"{given!r} is neither a host key nor a file that has one.", str(why), _REMEDY) from error
    lines = (line for line in text.splitlines() if not line.startswith(("#", "@")))  # revoked ones, and authorities
    keys = [f"{found[1]} {found[2]}" for line in lines if (found := _KEY.search(line))]
    if not keys:
        raise UsageMistake(f"There is no public key in {where}.", remedy=_REMEDY)
    return min(keys, key=_rank)


def fingerprint(key: str) -> str:
    """Return the fingerprint of a key; raise `UsageMistake` if it can't be one."""
    try:
        raw = base64.b64decode(key.split()[1], validate=True)
    except (IndexError, binascii.Error) as error:
        raise UsageMistake(f"{key!r} is not a public key.", str(error), _REMEDY) from error
    return "SHA256:" + base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")


def _rank(key: str) -> int:
    kind = key.split(maxsplit=1)[0]
    return _BEST_FIRST.index(kind) if kind in _BEST_FIRST else len(_BEST_FIRST)
