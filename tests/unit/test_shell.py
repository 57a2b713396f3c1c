"""Scripts on this machine: what is true of them alone. What holds for all shells is in tests/drivers/test_shells.py."""

from pathlib import Path

from drivers.shell import LocalShell, tail


async def test_a_script_gets_a_file_itself_without_a_copy(tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_bytes(b"content")
    result = await LocalShell().run("readlink /proc/$$/fd/0; cat", stdin=file, timeout_s=10)
    assert result.text == f"{file}\ncontent"


def test_long_output_is_cut_at_the_front() -> None:
    assert tail(b"abcdef\n", 3) == "...def"
    assert tail(b"abc\n", 3) == "abc"
