"""Commands of a thing that a cluster has several of: `overlays ls CLUSTER`, `images ls CLUSTER` and so on."""

from typing import Any

import typer
from typer.core import TyperGroup


class _ListByDefault(TyperGroup):
    """Reads `overlays CLUSTER` as `overlays ls CLUSTER`, as `nodes CLUSTER` and `operations CLUSTER` list too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the `ls` in when no command is named."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["ls", *args]
        return super().parse_args(ctx, args)


def group() -> typer.Typer:
    """Return a group of commands that lists by default."""
    return typer.Typer(cls=_ListByDefault, no_args_is_help=True, rich_markup_mode=None)
