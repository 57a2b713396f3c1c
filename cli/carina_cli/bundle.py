"""A cluster's credentials on this person's disk: unpacked for their eyes only, and fetched anew when stale."""

import io
import json
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from carina_cli.config import clusters_dir
from carina_cli.errors import CliError, Missing
from carina_cli.files import make_private, replace
from carina_cli.shapes import Cluster

if TYPE_CHECKING:
    from carina_cli.client import Client

LARGEST_FILE_BYTES = 1 << 20
"""More than a certificate, key or script ever has: an archive with a larger file is refused."""

STAMP = "cluster.json"
"""The file that says which state of which cluster the credentials beside it belong to, and when they end."""

KUBECONFIG = "kubectl.config"
"""The file of the credentials of a Kubernetes cluster that kubectl reads."""


def home_of(cluster: Cluster) -> Path:
    """Return the directory that this person's credentials of the cluster are kept in."""
    return clusters_dir() / cluster["id"]


def current(client: "Client", cluster: Cluster, *, refresh: bool = False) -> Path:
    """Return the directory with the cluster's credentials; fetch them if absent, stale or to be refreshed.

    They are stale when the cluster has changed since, by its `updated_at`, and when less than a third of their life
    is left.
    """
    directory = home_of(cluster)
    if refresh or not _is_current(directory, cluster):
        fetched_at = datetime.now(UTC)
        archive, expire = client.credentials(cluster["id"])
        files = unpack(archive, directory)
        life = {"fetched_at": fetched_at.isoformat(), "expire": expire}
        replace(directory / STAMP, json.dumps({"of": _state(cluster), "files": files, **life}).encode())
    return directory


def unpack(archive: bytes, directory: Path) -> list[str]:
    """Write the archive's files into `directory` and return their names. Files get mode 0600, a new directory 0700.

    One folder around the files is taken off. Each file is replaced whole. Raises `CliError` for an archive that
    isn't one, or that would write elsewhere.
    """
    files = files_of(archive)
    try:
        make_private(directory)
        for name, content in files.items():
            replace(directory / name, content)
    except OSError as error:
        raise CliError(
            f"The credentials can't be written to {directory}.",
            str(error),
            "Give another directory with 'carina credentials --dir'.",
        ) from error
    return sorted(files)


def discard(cluster: Cluster) -> None:
    """Remove the credentials of a cluster that is no more, if there are any."""
    directory = home_of(cluster)
    if directory.is_dir():
        shutil.rmtree(directory)


def docker_host(directory: Path) -> str:
    """Return the address of the Docker API that the credentials are for, as their docker.env has it."""
    try:
        text = (directory / "docker.env").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Missing("These credentials are not for Docker: they have no docker.env.", str(directory)) from error
    for line in text.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if name.strip() == "DOCKER_HOST":
            return value.strip()
    raise Missing("The credentials' docker.env names no DOCKER_HOST.", str(directory))


def kubeconfig(directory: Path) -> Path:
    """Return the file that leads kubectl to the cluster that the credentials are for."""
    path = directory / KUBECONFIG
    if not path.is_file():
        raise Missing(f"These credentials are not for Kubernetes: they have no {KUBECONFIG}.", str(directory))
    return path


def files_of(archive: bytes) -> dict[str, bytes]:
    """Return the archive's files by name, checked. Raises `CliError` as `unpack` does."""
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            for entry in opened.infolist():
                if entry.is_dir():
                    continue
                path = PurePosixPath(entry.filename.replace("\\", "/"))
                if path.is_absolute() or len(path.parts) > 2 or ".." in path.parts or ":" in entry.filename:  # noqa: PLR2004 - one folder and the file
                    raise CliError(f"The credentials archive has a file in a strange place: {entry.filename!r}.")
                if entry.file_size > LARGEST_FILE_BYTES:
                    raise CliError(f"The credentials archive has a file of {entry.file_size} bytes: {path.name!r}.")
                files[path.name] = opened.read(entry)
    except zipfile.BadZipFile as error:
        raise CliError("The service sent credentials that are no zip archive.", str(error)) from error
    return files


def _is_current(directory: Path, cluster: Cluster) -> bool:
    """Tell whether all files are there, belong to the cluster's present state, and will be good for a while."""
    try:
        stamp = json.loads((directory / STAMP).read_bytes())
        return (
            stamp["of"] == _state(cluster)
            and all((directory / name).is_file() for name in stamp["files"])
            and _is_young(stamp["fetched_at"], stamp["expire"])
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _is_young(fetched_at: str, expire: str | None) -> bool:
    """Tell whether at least a third of the time from `fetched_at` to `expire` is still to come."""
    if expire is None:
        return True
    end = datetime.fromisoformat(expire)
    return end - datetime.now(UTC) >= (end - datetime.fromisoformat(fetched_at)) / 3


def _state(cluster: Cluster) -> dict[str, object]:
    """Return what the credentials on disk are compared by."""
    return {key: cluster.get(key) for key in ("id", "name", "endpoint", "updated_at")}
