"""Container images that people load into clusters: each an archive, known by the digest of its bytes."""

import re
from enum import StrEnum

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ImageState(StrEnum):
    """Where an archive of container images is in its life."""

    PENDING = "pending"  # accepted; not all nodes have it yet
    ACTIVE = "active"  # all nodes have it, and new ones get it
    ERROR = "error"


def is_digest(text: str) -> bool:
    """Return whether `text` is a digest as archives have it: `sha256:` and 64 hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None
