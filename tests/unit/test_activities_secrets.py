"""A cluster's secrets at rest: sealed for their place, made once."""

from pathlib import Path

import pytest

from activities.secrets import AUTHORITY, CLIENT, ClusterSecrets
from domain.errors import NotReady, SecretUnreadable
from domain.secrets import KeyPair
from drivers.vault import FileVault


class Shelf:
    """The part of the records that secrets need."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}

    def put_secret(self, cluster_id: str, name: str, sealed: bytes) -> bool:
        return self.kept.setdefault((cluster_id, name), sealed) is sealed

    def secret(self, cluster_id: str, name: str) -> bytes | None:
        return self.kept.get((cluster_id, name))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def secrets(shelf: Shelf, tmp_path: Path) -> ClusterSecrets:
    return ClusterSecrets(shelf, FileVault(tmp_path / "key"))  # type: ignore[arg-type]


def test_a_pair_comes_back_as_it_was_and_lies_sealed(secrets: ClusterSecrets, shelf: Shelf) -> None:
    secrets.keep_pair("c", AUTHORITY, KeyPair(b"a certificate", b"a private key"))
    assert secrets.pair("c", AUTHORITY) == KeyPair(b"a certificate", b"a private key")
    assert all(b"private" not in sealed for sealed in shelf.kept.values())


def test_the_first_pair_kept_stays(secrets: ClusterSecrets) -> None:
    secrets.keep_pair("c", AUTHORITY, KeyPair(b"one", b"1"))
    secrets.keep_pair("c", AUTHORITY, KeyPair(b"two", b"2"))
    assert secrets.pair("c", AUTHORITY) == KeyPair(b"one", b"1")


def test_a_pair_that_is_not_there_yet_is_said_to_be_so(secrets: ClusterSecrets) -> None:
    assert not secrets.has("c", CLIENT)
    with pytest.raises(NotReady):
        secrets.pair("c", CLIENT)


def test_a_secret_moved_to_another_cluster_does_not_open(secrets: ClusterSecrets, shelf: Shelf) -> None:
    secrets.keep_pair("c", AUTHORITY, KeyPair(b"one", b"1"))
    shelf.kept["d", AUTHORITY] = shelf.kept["c", AUTHORITY]
    with pytest.raises(SecretUnreadable):
        secrets.pair("d", AUTHORITY)


def test_access_is_the_authority_certificate_and_the_client_pair(secrets: ClusterSecrets) -> None:
    secrets.keep_pair("c", AUTHORITY, KeyPair(b"authority", b"its key"))
    secrets.keep_pair("c", CLIENT, KeyPair(b"client", b"client key"))
    access = secrets.access("c")
    assert (access.ca_pem, access.client) == (b"authority", KeyPair(b"client", b"client key"))
    assert "key" not in repr(access)
