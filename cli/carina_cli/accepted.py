"""What the service answers to a change that it took on."""

from typing import Generic, NamedTuple, TypeVar

Body = TypeVar("Body")


class Accepted(NamedTuple, Generic[Body]):
    """A change that the service took on: the thing as it now is, and the operation (None: nothing to do)."""

    body: Body
    operation_id: str | None
