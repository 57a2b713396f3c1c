"""The wait on a terminal: ended steps scroll by, running ones stay below with their seconds counting."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from carina_cli.output import printable
from carina_cli.progress import StepLog, running_steps, step_line
from carina_cli.shapes import Operation, Step

_STYLES = {"succeeded": "green", "failed": "red", "lost": "yellow"}
_REFRESHES_A_SECOND = 10


class LiveProgress:
    """Shows an operation's steps through rich. It is its own renderable, so that seconds count between updates."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._log = StepLog()
        self._running: list[Step] = []
        self._spinner = Spinner("dots")

    def update(self, operation: Operation) -> None:
        """Let ended steps scroll by, and keep those that run."""
        self._running = running_steps(operation)
        for step in self._log.newly_ended(operation):
            self._print(step_line(step), _STYLES.get(step["state"], ""))

    def note(self, text: str) -> None:
        """Let a line scroll by."""
        self._print(text, "yellow")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the running steps, newest last, no more than the terminal is high."""
        frame = self._spinner.render(console.get_time())
        for step in self._running[-max(1, options.max_height - 2) :]:
            line = Text(printable(step_line(step)), no_wrap=True, overflow="ellipsis", style="yellow")
            line.plain = line.plain.replace("...", f"{frame!s:<3}", 1)
            yield line

    def _print(self, text: str, style: str) -> None:
        self._console.print(Text(printable(text), style=style), soft_wrap=True)


@contextmanager
def live_progress(heading: str) -> Iterator[LiveProgress]:
    """Show the heading, and then steps until the block ends."""
    console = Console(stderr=True, highlight=False)
    console.print(Text(printable(heading), style="bold"))
    progress = LiveProgress(console)
    with Live(progress, console=console, refresh_per_second=_REFRESHES_A_SECOND, transient=True):
        yield progress
