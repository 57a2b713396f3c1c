"""The kubeconfig file of this person: which it is, and how it is changed without anyone seeing half of it."""

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from carina_cli.config import clusters_dir
from carina_cli.errors import CliError, NotOurs
from carina_cli.files import make_private, replace
from carina_cli.kubeconfig import Broken

LOCK_WAIT_S = 2.0
_LOCK_PAUSE_S = 0.02


def files_of_kubectl() -> list[Path]:
    """Return the files that kubectl reads: those of KUBECONFIG, else the one in the home directory."""
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return named or [Path.home() / ".kube" / "config"]


def own_file() -> Path:
    """Return the first file that kubectl reads, passing over credentials that `carina env` has put there.

    Those are replaced whenever they are renewed.
    """
    kept = [path for path in files_of_kubectl() if clusters_dir() not in path.parents]
    return kept[0] if kept else Path.home() / ".kube" / "config"


def change(path: Path, how: Callable[[str], str]) -> None:
    """Replace the file's text by what `how` makes of it; a new file is for its owner alone, another keeps its mode.

    kubectl's own lock is held meanwhile. Raises `CliError` if the file can't be read, understood or written; it is
    left as it was then, also when `how` raises.
    """
    try:
        make_private(path.absolute().parent)
        with _lock(path):
            target = path.resolve()
            old, mode = _read(target)
            replace(target, how(old).encode(), mode=mode)
    except Broken as error:
        raise CliError(f"{path} was left as it is: it is no kubeconfig.", error.title) from error
    except UnicodeDecodeError as error:
        raise CliError(f"{path} was left as it is: it is no kubeconfig.", "It is no text.") from error
    except OSError as error:
        raise CliError(f"{path} can't be changed.", str(error)) from error


def _read(path: Path) -> tuple[str, int]:
    """Return the file's text and mode; those of a file that is yet to be if there is none."""
    try:
        return path.read_text(encoding="utf-8"), stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return "", 0o600


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the lock that kubectl takes too: a file beside (client-go, tools/clientcmd/loader.go).

    It tells nobody when it is free, so it is tried again and again, for a while.
    """
    lock = path.with_name(f"{path.name}.lock")
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
            break
        except FileExistsError as error:
            if time.monotonic() > deadline:
                raise NotOurs(
                    f"Another program is changing {path}.", f"It holds {lock}.", "If none does, remove that file."
                ) from error
            time.sleep(_LOCK_PAUSE_S)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
