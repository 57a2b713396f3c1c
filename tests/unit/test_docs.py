"""What the documents say is so: generated parts, links, commands, targets and settings."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from carina_cli.main import app as carina
from domain.clusters import DEFAULT_KUBERNETES
from worker.carinad import app as carinad
from worker.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/**/*.md"))
KUBERNETES = ROOT / "docs" / "reference" / "kubernetes.md"
IMAGE = ROOT / "drivers" / "image_root" / "kubernetes"
GENERATED = ("api.md", "carinad.md", "errors.md", "settings.md")
CLIENT_VARIABLES = {"CARINA_ENDPOINT", "CARINA_TOKEN", "CARINA_TOKEN_FILE", "CARINA_HOME", "CARINA_CLUSTER_NAME"}
SETTINGS = {f"CARINA_{name.upper()}" for name in Settings.model_fields}
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^|\(|`|&& |; )(?:\.venv/bin/)?((?:carinad|carina)(?: +[^`;)#&|\n]*)?)")


def _id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each `carina` and `carinad` command in the text's shell blocks."""
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for found in _COMMAND.findall(line):
                yield shlex.split(found)


def _parse(words: list[str]) -> None:
    """Parse a command line without running it; a command that could not be typed raises."""
    command: Any = get_command(carina if words[0] == "carina" else carinad)
    context = command.make_context(words[0], words[1:], resilient_parsing=not words[1:])
    while rest := [*context._protected_args, *context.args]:
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
        if not hasattr(command, "commands"):
            return


def test_reference_pages_say_what_the_code_says(tmp_path: Path) -> None:
    for name in GENERATED:
        shutil.copy(ROOT / "docs" / "reference" / name, tmp_path)
    subprocess.run([sys.executable, ROOT / "docs" / "service_reference.py", tmp_path], check=True, cwd=ROOT)
    for name in GENERATED:
        written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
        assert (tmp_path / name).read_text(encoding="utf-8") == written, (
            f"{name}: run python docs/service_reference.py docs/reference"
        )


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in anchors, target


def test_every_page_is_listed() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/*/*.md"):
        assert f"({page.relative_to(ROOT / 'docs')})" in index


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_commands_can_be_typed(page: Path) -> None:
    for words in _commands(page.read_text(encoding="utf-8")):
        _parse(words)


def test_a_command_that_is_not_there_is_found_out() -> None:
    text = "```sh\ncarina resize web 3   # without its option\n```\n"
    with pytest.raises(Exception, match="Missing parameter: nodes"):
        _parse(next(_commands(text)))


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_make_targets_and_settings_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line in re.findall(r"(?:`|^|&& )make((?: [a-z0-9]+)+)", text, re.MULTILINE):
        assert set(line.split()) <= set(targets), line
    assert set(re.findall(r"CARINA_[A-Z_]+", text)) <= SETTINGS | CLIENT_VARIABLES


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_versions_of_kubernetes_are_those_that_there_are(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"release add kubernetes ([\d.]+)", text)) <= set(DEFAULT_KUBERNETES.values())


def test_the_reference_lists_each_unit_of_a_kubernetes_node() -> None:
    table = re.findall(r"^\| `([a-z0-9-]+)` \|", KUBERNETES.read_text(encoding="utf-8"), re.MULTILINE)
    units = {unit.stem for unit in (IMAGE / "etc/systemd/system").glob("*.service")}
    assert units - {"carina-journal"} <= set(table)


def test_flags_in_the_reference_of_kubernetes_are_set() -> None:
    sources = [*IMAGE.rglob("*.service"), ROOT / "drivers" / "kubernetes_files.py"]
    code = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    settings = KUBERNETES.read_text(encoding="utf-8").split("## Settings that differ")[1].split("\n## ")[0]
    for flags in re.findall(r"`(--[^`]+)`", settings):
        for flag in flags.split():
            assert flag in code
