"""The folder of archives: whole files or none, of clusters only."""

from io import FileIO
from pathlib import Path

import pytest

from activities.ports import Archives
from domain.errors import NotFound, StorageFull
from store.archives import ArchiveFolder, IncomingArchive

ABC = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


def _keep(folder: ArchiveFolder, cluster_id: str, *parts: bytes) -> str:
    with folder.incoming() as archive:
        for part in parts:
            archive.write(part)
        archive.finish()
        archive.keep(cluster_id)
        return archive.digest


def test_an_archive_is_kept_by_its_digest_until_it_is_discarded(tmp_path: Path) -> None:
    folder = ArchiveFolder(tmp_path / "images", reserve_bytes=0)
    port: Archives = folder
    assert _keep(folder, "c1", b"a", b"", b"bc") == ABC
    assert _keep(folder, "c1", b"abc") == ABC
    other = _keep(folder, "c1", b"other")
    assert _keep(folder, "c2", b"abc") == ABC
    assert port.path("c1", ABC).read_bytes() == b"abc"
    folder.discard("c1", ABC)
    folder.discard("c1", ABC)
    with pytest.raises(NotFound):
        port.path("c1", ABC)
    assert port.path("c1", other).read_bytes() == b"other"
    port.discard_all("c1")
    port.discard_all("c1")
    with pytest.raises(NotFound):
        port.path("c1", other)
    assert port.path("c2", ABC).read_bytes() == b"abc"
    folder.discard("c2", ABC)
    assert list((tmp_path / "images").iterdir()) == []


def test_an_archive_that_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    folder = ArchiveFolder(tmp_path / "images", reserve_bytes=0)

    def break_off() -> None:
        with folder.incoming() as archive:
            archive.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert list((tmp_path / "images").iterdir()) == []


@pytest.mark.parametrize(
    ("cluster_id", "digest"),
    [("..", ABC), ("", ABC), ("a/b", ABC), ("/etc", ABC), (".new-x", ABC), ("c1", "sha256:../x")],
)
def test_nothing_outside_of_the_folder_is_reached(tmp_path: Path, cluster_id: str, digest: str) -> None:
    folder = ArchiveFolder(tmp_path / "images", reserve_bytes=0)
    outside = tmp_path / "kept"
    outside.mkdir()
    for call in (folder.path, folder.discard):
        with pytest.raises(NotFound):
            call(cluster_id, digest)
    if digest == ABC:
        with pytest.raises(NotFound):
            folder.discard_all(cluster_id)
    assert outside.is_dir()


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    with FileIO("/dev/full", "r+") as file, pytest.raises(StorageFull):  # full(4)
        IncomingArchive(tmp_path, tmp_path / "x", file, reserve_bytes=0).write(b"x")
    folder = ArchiveFolder(tmp_path, reserve_bytes=2**60)
    with folder.incoming() as archive, pytest.raises(StorageFull):
        archive.write(b"x")
    assert list(tmp_path.iterdir()) == []
