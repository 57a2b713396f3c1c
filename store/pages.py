"""Lists in pages."""

from collections.abc import Callable, Sequence

from store.views import Item, Page


def page_of(items: Sequence[Item], limit: int, marker: Callable[[Item], str]) -> Page[Item]:
    """Return the first `limit` of items, of which one more was read to see whether there are more."""
    shown = items[:limit]
    return Page(shown, marker(shown[-1]) if len(items) > limit and shown else None)
