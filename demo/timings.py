"""How long parts took: printed as they begin, and in a table at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timings:
    """The parts of one run."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, float]] = []

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        """Time one part."""
        print(f"\n== {title}", flush=True)
        began = time.monotonic()
        yield
        self._rows.append((title, time.monotonic() - began))

    def table(self) -> str:
        """Return the parts with their seconds."""
        total = sum(took for _, took in self._rows)
        return "\n".join(f"  {took:6.1f} s  {title}" for title, took in [*self._rows, ("in all", total)])
