"""Requests that may be sent twice and are to be carried out once."""

import hashlib
import json
from typing import Annotated

from fastapi import Header
from pydantic import BaseModel

from domain.errors import InvalidInput
from store.views import IdempotencyKey

MAX_KEY_CHARS = 255
KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same request gives the same cluster; with another request, a 409.",
    ),
]


def key_of(key: str | None, path: str, body: BaseModel, **query: object) -> IdempotencyKey | None:
    """Return the key with a digest of what the request means, None without a key.

    Key order, white space, defaults left out and unknown fields make no difference to the digest. Raises
    `InvalidInput` where the key is none that can be kept.
    """
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_CHARS or not (key.isascii() and key.isprintable()):
        raise InvalidInput(
            f"An Idempotency-Key has 1 to {MAX_KEY_CHARS} printable ASCII characters.",
            field="Idempotency-Key",
            remedy="Send a UUID, for example.",
        )
    meaning = {"path": path, "query": query, "body": body.model_dump(mode="json", exclude_defaults=True)}
    return IdempotencyKey(key, hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest())
