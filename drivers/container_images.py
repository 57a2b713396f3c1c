"""Container images into the containerd of Kubernetes nodes, through their host."""

import asyncio
import time
from pathlib import Path

import structlog

from domain.errors import ImageLoadFailed
from domain.nodes import NodePlan
from drivers import image_archives
from drivers.shell import ScriptFailed, Shell, tail

TIMEOUT_S = 840.0
"""For some ten GiB on a slow disk."""

_SCRIPT = """
set -euo pipefail
nodes=$1 container=$2
shift 2
images() { lxc-attach -P "$nodes" -n "$container" --clear-env -- ctr --namespace k8s.io images "$@"; }
images import --local -
while (($#)); do
    images tag --force "$1" "$2" </dev/null
    images rm "$1" </dev/null
    shift 2
done
"""
_PASSING = ("failed to dial", "connection error", "code = Unavailable", "is locked")
"""Words of ctr(8) about containerd, not about an archive: it starts just now, or is busy with the same layers."""

_log = structlog.get_logger()


async def load(shell: Shell, plan: NodePlan, archive: Path) -> None:
    """Put the images of an archive (docker-archive or OCI layout, a tar) into the node's containerd, unpacked.

    `shell` is that of the node's host, and the archive is streamed through it. Pods find the images by their names,
    whole or short. Images that are there already are no error. What a cut call left in containerd it drops itself a
    day later. Raises `ImageLoadFailed` for what containerd refuses, `CommandFailed` when it can't be asked.
    """
    began = time.monotonic()
    renames = await asyncio.to_thread(lambda: image_archives.renames(image_archives.read(archive)))
    names = [name for pair in renames.items() for name in pair]
    args = (f"{plan.host.root}/pool/nodes", plan.container, *names)
    what = f"Loading an image into {plan.name}"
    try:
        await shell.run(_SCRIPT, args=args, stdin=archive, timeout_s=TIMEOUT_S, what=what)
    except ScriptFailed as failure:
        said = tail(failure.stderr)
        if "ctr: " not in said or any(words in said for words in _PASSING):
            raise
        raise ImageLoadFailed(f"containerd on {plan.name} says: {said.rpartition('ctr: ')[2]}") from failure
    _log.info("image.loaded", node=plan.name, archive=archive.name, took_s=round(time.monotonic() - began, 3))
