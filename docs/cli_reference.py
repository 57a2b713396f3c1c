"""Brings the commands' own help into their reference page: python docs/cli_reference.py docs/reference/cli.md."""  # noqa: INP001 - a script

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from carina_cli.main import app

HEADING = "## Commands\n"


def commands() -> Iterator[list[str]]:
    """Yield the words of each command: none for the command itself, then each one, and each one's own."""
    yield []
    for name, command in getattr(get_command(app), "commands", {}).items():
        yield [name]
        for inner in getattr(command, "commands", {}):
            yield [name, inner]


def reference() -> str:
    """Return the help of all commands."""
    os.environ["COLUMNS"] = "110"
    parts = []
    for words in commands():
        shown = CliRunner().invoke(app, [*words, "--help"], prog_name="carina", color=False)
        lines = "\n".join(line.rstrip() for line in shown.output.strip().splitlines())
        parts.append(f"\n### {' '.join(['carina', *words])}\n\n```text\n{lines}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    by_hand = page.read_text(encoding="utf-8").partition(HEADING)[0]
    page.write_text(by_hand + HEADING + reference(), encoding="utf-8")
