"""Parts for the tests of releases: an archive server on a local port, tiny binaries, and a Go that is none."""

import gzip
import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from drivers.go_toolchain import architecture
from drivers.release_parts import kubernetes_part, other_parts

VERSION = "1.35.4"
KUBERNETES_BINARIES = sorted(kubernetes_part(VERSION).binaries)
OTHER_BINARIES = sorted(binary for part in other_parts() for binary in part.binaries)
ARCHIVE = f"/v{VERSION}/kubernetes-server-linux-{architecture()}.tar.gz"

FAKE_GO = """#!/bin/bash
# Stands for Go: writes a tiny command for each package that it is asked to build, unless the package is not to build.
set -e
if [ "$1" = env ]; then echo go1.26.8; exit; fi
echo "$PWD" >> "$0.builds"
if [ -e "$0.hang" ]; then echo $$ > "$0.hanging"; exec sleep 300; fi
echo "go: downloading example.org/module v1.0.0" >&2
while [ $# -gt 0 ]; do
    case "$1" in
        -o) out=$2; shift ;;
        -*) ;;
        */*) packages="$packages $1" ;;
    esac
    shift
done
for package in $packages; do
    if grep -qsx "$package" "$0.broken"; then echo "$package: cannot find module" >&2; exit 1; fi
    printf '#!/bin/sh\\necho built v%s\\n' VERSION > "$out/${package##*/}"
done
""".replace("VERSION", VERSION)


def tiny_binary(name: str, version: str = VERSION) -> bytes:
    """Return a command that says its version; it does not compress, so that transfers have something to carry."""
    noise = hashlib.shake_256(name.encode()).hexdigest(30_000)
    return f"#!/bin/sh\necho Kubernetes v{version}\nexit\n# {name} {noise}\n".encode()


def official_archive(version: str = VERSION, *, without: str = "", more: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    """Return a server archive in the official layout."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for member in more:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
        for name in ("kubernetes/LICENSES", "kubernetes/server/bin/kubeadm"):
            archive.addfile(tarfile.TarInfo(name))
        for name in KUBERNETES_BINARIES:
            if name == without:
                continue
            content = tiny_binary(name, version)
            member = tarfile.TarInfo(f"kubernetes/server/bin/{name}")
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def directory_of_binaries(path: Path, names: list[str]) -> Path:
    """Make a directory with tiny binaries."""
    path.mkdir()
    for name in names:
        (path / name).write_bytes(tiny_binary(name))
        (path / name).chmod(0o755)
    return path


@dataclass
class ArchiveHost:
    """What the server serves, how it misbehaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    """For each of the next answers with an archive: after how many bytes the connection is cut."""
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range header of each request."""
    address: str = ""

    def publish(self, archive: bytes, sum_of: bytes | None = None) -> None:
        self.files[ARCHIVE] = archive
        self.files[f"{ARCHIVE}.sha512"] = hashlib.sha512(archive if sum_of is None else sum_of).hexdigest().encode()

    @property
    def ranges_asked(self) -> list[str]:
        return [asked for path, asked in self.asked if path == ARCHIVE]


@contextmanager
def serve(host: ArchiveHost) -> Iterator[ArchiveHost]:
    """Serve on a free local port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            host.asked.append((self.path, asked))
            if self.path in host.redirects:
                self.send_response(302)
                self.send_header("Location", host.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = host.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(found[1]) if host.ranges and (found := re.fullmatch(r"bytes=(\d+)-", asked)) else 0
            if start and start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            cut = host.cuts.pop(0) if host.cuts and self.path == ARCHIVE else None
            self.wfile.write(content[start:] if cut is None else content[start : start + cut])

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    host.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
