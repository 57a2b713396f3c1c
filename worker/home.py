"""The home of an instance: its identity, its administrator's token, its lock. All files are made once, whole."""

import fcntl
import json
import os
import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from domain.errors import Unavailable
from domain.instance import Instance
from worker.ports import PREFERRED, claim_ports

_TOKEN_BYTES = 32


@dataclass(frozen=True)
class Identity:
    """What an instance keeps of itself: its prefix, and the ports of its embedded Temporal server."""

    prefix: str
    temporal_port: int
    temporal_ui_port: int

    @property
    def instance(self) -> Instance:
        """The names that follow from the prefix."""
        return Instance(self.prefix)


class Home:
    """The directory of an instance."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o711, parents=True, exist_ok=True)
        # Nodes' root users, who are nobody on the host, pass through the home on the way to their own disks.
        path.chmod(path.stat().st_mode | 0o111)
        self.log_dir.mkdir(mode=0o700, exist_ok=True)

    @property
    def log_dir(self) -> Path:
        """Where the service in the background writes its log."""
        return self.path / "log"

    @property
    def database(self) -> Path:
        """Carina's own database, unless the settings name another."""
        return self.path / "carina.db"

    @property
    def vault_key(self) -> Path:
        """The key under which secrets are sealed."""
        return self.path / "vault.key"

    @property
    def token_file(self) -> Path:
        """The administrator's token."""
        return self.path / "admin-token"

    @property
    def temporal_db(self) -> Path:
        """The embedded Temporal server's database."""
        return self.path / "temporal.db"

    @property
    def pid_file(self) -> Path:
        """The process id of the service that holds the lock."""
        return self.path / "carinad.pid"

    @property
    def host_root(self) -> Path:
        """What this machine keeps as a host of the instance: the storage pool, nodes, images."""
        return self.path / "host"

    @property
    def releases(self) -> Path:
        """Where releases of orchestrators are kept, that node images are made from."""
        return self.path / "releases"

    @property
    def archives(self) -> Path:
        """Where archives of container images are kept, for nodes that come later."""
        return self.path / "images"

    def identity(self, prefix: str = "") -> Identity:
        """Return the instance's identity, made at the first call; `prefix` asks for a certain one then."""
        file = self.path / "instance.json"
        if not file.exists():
            made = Identity(prefix or _random_prefix(), *PREFERRED)
            _write_once(file, json.dumps(asdict(made)).encode(), mode=0o644)
        kept = Identity(**json.loads(file.read_text()))
        if prefix and kept.prefix != prefix:
            raise Unavailable(
                f"{self.path} belongs to the instance {kept.prefix}, not {prefix}.",
                remedy="Leave CARINA_PREFIX out, or choose another home.",
            )
        return kept

    def with_own_ports(self) -> Identity:
        """Return the identity with Temporal ports that no other process or instance on the machine has."""
        kept = self.identity()
        ports = claim_ports(kept.prefix, self.path, (kept.temporal_port, kept.temporal_ui_port))
        claimed = Identity(kept.prefix, *ports)
        if claimed != kept:
            _replace(self.path / "instance.json", json.dumps(asdict(claimed)).encode(), mode=0o644)
        return claimed

    def admin_token(self) -> str:
        """Return the administrator's token, made at the first call. Its file is for root alone."""
        if not self.token_file.exists():
            _write_once(self.token_file, secrets.token_urlsafe(_TOKEN_BYTES).encode() + b"\n", mode=0o600)
        return self.token_file.read_text().strip()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home for one service; raise `Unavailable`, naming its process, if another has it."""
        with (self.path / "carinad.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable(
                    f"A service (process {self.running_pid() or 'unknown'}) has {self.path} already.",
                    remedy="Use that one, stop it with 'carinad down', or choose another home.",
                ) from None
            _replace(self.pid_file, str(os.getpid()).encode(), mode=0o644)
            try:
                yield
            finally:
                self.pid_file.unlink(missing_ok=True)

    def running_pid(self) -> int | None:
        """Return the process id of the service that holds the home, or None."""
        with (self.path / "carinad.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(self.pid_file.read_text()) if self.pid_file.exists() else 0
        return None


def _random_prefix() -> str:
    letters = string.ascii_lowercase
    return secrets.choice(letters) + "".join(secrets.choice(letters + string.digits) for _ in range(3))


def _temporary(path: Path, content: bytes, mode: int) -> Path:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return new


def _write_once(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file that is not there yet; one that came to be meanwhile stays."""
    new = _temporary(path, content, mode)
    try:
        os.link(new, path)
    except FileExistsError:
        return
    finally:
        new.unlink()


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    _temporary(path, content, mode).replace(path)
