"""Lists that come in pages."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query

from api.schemas import Link
from store.views import Item, Page

MAX_LIMIT = 1000
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="The most items that one answer has.")]
Marker = Annotated[str | None, Query(max_length=64, description="Go on after this item: take the `next` link for it.")]


def next_links(page: Page[Item], path: str, *, limit: int, **filters: str | None) -> list[Link]:
    """Return the link to the page after this one, relative to the API's root; none at the end."""
    if page.next_marker is None:
        return []
    given = {key: value for key, value in filters.items() if value is not None}
    return [Link(href=f"{path}?{urlencode({**given, 'limit': limit, 'marker': page.next_marker})}")]
