import multiprocessing
from pathlib import Path

import pytest

from domain.errors import SecretUnreadable, Unavailable
from drivers.vault import FileVault


def test_a_sealed_secret_opens_in_its_place_after_a_restart(tmp_path: Path) -> None:
    sealed = FileVault(tmp_path / "key").seal(b"secret", context="cluster/authority")
    assert b"secret" not in sealed
    assert FileVault(tmp_path / "key").open(sealed, context="cluster/authority") == b"secret"


def test_a_sealed_secret_does_not_open_in_another_place(tmp_path: Path) -> None:
    vault = FileVault(tmp_path / "key")
    sealed = vault.seal(b"secret", context="one/authority")
    with pytest.raises(SecretUnreadable, match="another place"):
        vault.open(sealed, context="two/authority")


def test_any_altered_byte_is_found(tmp_path: Path) -> None:
    vault = FileVault(tmp_path / "key")
    sealed = vault.seal(b"secret", context="c")
    for position in range(len(sealed)):
        altered = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
        with pytest.raises(SecretUnreadable):
            vault.open(altered, context="c")


@pytest.mark.parametrize("length", [0, 1, 8, 20, 36])
def test_a_cut_value_is_found(tmp_path: Path, length: int) -> None:
    vault = FileVault(tmp_path / "key")
    sealed = vault.seal(b"secret", context="c")
    with pytest.raises(SecretUnreadable):
        vault.open(sealed[:length], context="c")


def test_another_key_is_named(tmp_path: Path) -> None:
    sealed = FileVault(tmp_path / "one").seal(b"secret", context="c")
    with pytest.raises(SecretUnreadable, match="sealed under the key"):
        FileVault(tmp_path / "two").open(sealed, context="c")


def test_the_same_secret_looks_different_each_time(tmp_path: Path) -> None:
    vault = FileVault(tmp_path / "key")
    assert vault.seal(b"secret", context="c") != vault.seal(b"secret", context="c")


def test_the_key_is_for_its_owner_alone_and_nothing_else_is_left(tmp_path: Path) -> None:
    FileVault(tmp_path / "key").seal(b"", context="c")
    assert [file.name for file in tmp_path.iterdir()] == ["key"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "key").read_bytes()) == 32


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    FileVault(tmp_path / "key").seal(b"", context="c")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(Unavailable, match=f"{mode:04o}"):
        FileVault(tmp_path / "key").seal(b"", context="c")


def test_a_key_of_the_wrong_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(Unavailable, match="no vault key"):
        FileVault(tmp_path / "key").seal(b"", context="c")


def test_processes_that_start_at_once_use_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        sealed = pool.map(_seal, [tmp_path / "key"] * 8)
    vault = FileVault(tmp_path / "key")
    assert {vault.open(item, context="c") for item in sealed} == {b"secret"}


def _seal(path: Path) -> bytes:
    return FileVault(path).seal(b"secret", context="c")
