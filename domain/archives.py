"""Small sets of files as one value, so that they can be sealed and kept together. Nothing here is ever logged."""

import base64
import binascii
import json
from collections.abc import Mapping


def encode(files: Mapping[str, bytes]) -> bytes:
    """Return the files, by name, as a JSON object of base64 strings; the same files give the same bytes."""
    for name in files:
        _check_name(name)
    return json.dumps({name: base64.b64encode(files[name]).decode("ascii") for name in sorted(files)}).encode("ascii")


def decode(archive: bytes) -> dict[str, bytes]:
    """Return the files of what `encode` made, by name; raise `ValueError` where it is something else."""
    try:
        content = json.loads(archive)
        files = {str(name): base64.b64decode(text, validate=True) for name, text in content.items()}
    except (AttributeError, TypeError, UnicodeDecodeError, json.JSONDecodeError, binascii.Error):
        # Not chained: the cause of a JSON error carries the document, which is secret.
        raise ValueError("This is no archive of files.") from None
    for name in files:
        _check_name(name)
    return files


def _check_name(name: str) -> None:
    """Raise `ValueError` unless `name` is a plain file name, which can't lead out of the folder it is put in."""
    if not name or "/" in name or "\\" in name or name in {".", ".."}:
        raise ValueError(f"{name!r} is no plain file name.")
