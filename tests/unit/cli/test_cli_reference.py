"""The reference page says what the command says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from carina_cli import errors

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "cli.md"


def test_the_reference_page_is_what_the_command_says_of_itself(tmp_path: Path) -> None:
    copy = tmp_path / "cli.md"
    shutil.copy(PAGE, copy)
    subprocess.run([sys.executable, str(ROOT / "docs" / "cli_reference.py"), str(copy)], check=True)
    written = PAGE.read_text(encoding="utf-8")
    assert copy.read_text(encoding="utf-8") == written, "run: python docs/cli_reference.py docs/reference/cli.md"


def test_the_reference_page_has_every_exit_code() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)}
    named = {value for name, value in vars(errors).items() if name.isupper() and name != "SERVICE_UNAVAILABLE"}
    assert documented == {0, *named}
