"""Kubernetes' official server archive: fetched, resumed when it was cut, checked against its SHA-512, and unpacked."""

import re
import tarfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import httpx

from domain.errors import ReleaseUnavailable
from drivers.go_toolchain import architecture
from drivers.release_files import FoundFile, Say, hash_file, keep_stream

_CONNECT_TIMEOUT_S = 5.0
_SILENCE_TIMEOUT_S = 30.0
_TRIES_WITHOUT_PROGRESS = 3
_BYTES_PER_LINE = 100_000_000
_IN_ARCHIVE = "kubernetes/server/bin/"
_OTHER_WAYS = "Or take another way: --from a file or directory, or --build."


class NotServed(Exception):  # noqa: N818 - it reads as what happened, and is no error where a build can take over
    """The server can't be reached, or does not have the archive; its text says which."""


@dataclass(frozen=True, slots=True)
class ArchiveServer:
    """A server with the layout of https://dl.k8s.io: v<version>/kubernetes-server-linux-<architecture>.tar.gz."""

    address: str
    say: Say

    def url(self, version: str) -> str:
        """Return where the archive of a version is."""
        return f"{self.address.rstrip('/')}/v{version}/kubernetes-server-linux-{architecture()}.tar.gz"

    def fetch(self, version: str, directory: Path) -> Path:
        """Fetch the archive into a directory, going on where an earlier call was cut, and return its path.

        Raises `NotServed` before anything was fetched, `ReleaseUnavailable` if the transfer keeps being cut or the
        archive is not the published one. The caller holds a lock on the directory.
        """
        url = self.url(version)
        # Redirects lead to http and https only: httpx knows no other scheme.
        timeout = httpx.Timeout(_SILENCE_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
        with httpx.Client(timeout=timeout, follow_redirects=True) as client:
            published = self._published(client, f"{url}.sha512")
            directory.mkdir(parents=True, exist_ok=True)
            # Named by what it is to become, so that what was fetched of an archive that is no more is not taken up.
            part = directory / f"{published[:32]}.part"
            self._transfer(client, url, part)
        self.say(f"checking {url}")
        found = hash_file(part, "sha512")
        if found != published:
            part.unlink()
            raise ReleaseUnavailable(
                f"{url} has SHA-512 {found}, but {published} is published. What was fetched has been removed.",
                remedy=f"Try again; if it stays so, don't trust that server or what is before it. {_OTHER_WAYS}",
            )
        return part

    def _published(self, client: httpx.Client, url: str) -> str:
        try:
            answer = client.get(url)
        except httpx.TransportError as error:
            raise NotServed(f"{self.address} can't be reached ({str(error) or type(error).__name__})") from error
        if answer.status_code != httpx.codes.OK:
            raise NotServed(f"{url} answers {answer.status_code}")
        return read_sha512(answer.text, url)

    def _transfer(self, client: httpx.Client, url: str, part: Path) -> None:
        tries = 0
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                self._go_on(client, url, part, before)
            except httpx.TransportError as error:
                now = part.stat().st_size if part.exists() else 0
                tries = 1 if now > before else tries + 1
                if tries >= _TRIES_WITHOUT_PROGRESS:
                    raise ReleaseUnavailable(
                        f"Fetching {url} was cut after {now} bytes: {str(error) or type(error).__name__}",
                        remedy=f"Try again: it goes on from there. {_OTHER_WAYS}",
                    ) from error
                self.say(f"cut after {now // 1_000_000} MB; going on")
            else:
                return

    def _go_on(self, client: httpx.Client, url: str, part: Path, have: int) -> None:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with client.stream("GET", url, headers=headers) as answer:
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # all of it is there, or more: the checksum tells
            if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
                raise ReleaseUnavailable(f"{url} answers {answer.status_code}.", remedy=f"Try again. {_OTHER_WAYS}")
            goes_on = answer.status_code == httpx.codes.PARTIAL_CONTENT and _starts_at(answer, have)
            if have and not goes_on:
                self.say("the server can't resume; starting anew")
            done, size = have if goes_on else 0, int(answer.headers.get("Content-Length", 0))
            total = f" of {(done + size) // 1_000_000}" if size else ""
            self.say(f"fetching {url}" + (f", from {done // 1_000_000} MB on" if done else ""))
            with part.open("ab" if goes_on else "wb") as file:
                for chunk in answer.iter_raw():
                    file.write(chunk)
                    if done // _BYTES_PER_LINE != (done + len(chunk)) // _BYTES_PER_LINE:
                        self.say(f"{(done + len(chunk)) // 1_000_000}{total} MB")
                    done += len(chunk)


def read_sha512(text: str, place: str) -> str:
    """Return the hash in a published checksum file, bare or as sha512sum writes it."""
    word = (text.split() or [""])[0].lower()
    if not re.fullmatch(r"[0-9a-f]{128}", word):
        raise ReleaseUnavailable(f"{place} holds no SHA-512.", remedy=f"Check the server's address. {_OTHER_WAYS}")
    return word


def unpack(archive: Path, wanted: Collection[str], target: Path, source: str) -> dict[str, FoundFile]:
    """Copy the wanted binaries, and nothing else, from an archive of the official layout into a directory.

    No name, link, owner or mode of the archive has a say in what is written. Raises `ReleaseUnavailable` if a binary
    is not in it, or it is no such archive.
    """
    found: dict[str, FoundFile] = {}
    try:
        with tarfile.open(archive, mode="r|*") as stream:
            for member in stream:
                path = member.name.removeprefix("./")
                name = path.removeprefix(_IN_ARCHIVE)
                if path == _IN_ARCHIVE + name and name in wanted and name not in found and member.isreg():
                    content = stream.extractfile(member)
                    if content is not None:
                        found[name] = keep_stream(content, target / name, source)
                if len(found) == len(wanted):
                    break
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ReleaseUnavailable(f"{archive} can't be read as an archive: {error}") from error
    if missing := sorted(set(wanted) - found.keys()):
        raise ReleaseUnavailable(f"{source} has no {', '.join(_IN_ARCHIVE + name for name in missing)}.")
    return found


def _starts_at(answer: httpx.Response, offset: int) -> bool:
    return bool(answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-"))
