"""What the exit statuses of the scripts that make nodes and images mean. They are named in scripts/common.sh."""

from domain.errors import (
    CarinaError,
    CommandFailed,
    DiskFull,
    DockerSilent,
    HostNotReady,
    ImageUnavailable,
    NodeNotStarted,
    PoolNotMounted,
)
from drivers.shell import ScriptFailed, tail

_MEANINGS: dict[int, tuple[type[CarinaError], str]] = {
    28: (DiskFull, "there is no room left in the storage pool"),
    65: (CommandFailed, "a container of that name is not ours to touch"),
    66: (ImageUnavailable, "the node image is not on the host"),
    67: (NodeNotStarted, "the container did not start"),
    68: (DockerSilent, "Docker did not get ready in time; the end of its journal"),
    69: (PoolNotMounted, "the storage pool is not mounted"),
    70: (HostNotReady, "/etc/subuid and /etc/subgid don't give root the node's uids"),
    71: (CommandFailed, "a container is held"),
}


def explained(failure: ScriptFailed) -> CarinaError:
    """Return the error of the catalogue that a script's failure amounts to."""
    said = tail(failure.stderr)
    status = 28 if "No space left on device" in said else failure.exit_status
    if status not in _MEANINGS:
        return failure
    kind, meaning = _MEANINGS[status]
    return kind(f"{failure.what}: {meaning}{f': {said}' if said else '.'}")
