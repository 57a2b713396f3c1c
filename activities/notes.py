"""What a running step has to tell people beside how it ended."""

from contextvars import ContextVar

from domain.errors import MAX_DETAIL_CHARS

_NOTES: ContextVar[list[str]] = ContextVar("notes")


def begin_notes() -> None:
    """Begin with no notes: called around each step, before it runs."""
    _NOTES.set([])


def note(text: str) -> None:
    """Say something of the step that is running which people should know. Notes are kept with its attempt."""
    _NOTES.get([]).append(text)


def noted() -> str | None:
    """Return what the running step has noted, cut to what is kept; None if nothing."""
    return " ".join(_NOTES.get([]))[:MAX_DETAIL_CHARS] or None
