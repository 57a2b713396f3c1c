"""Nodes as unprivileged LXC containers, each a btrfs snapshot of the node image. Fits `Nodes`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from domain.hosts import Host
from domain.nodes import FoundNode, NodeFile, NodePlan
from drivers.image_recipe import script
from drivers.lxc_config import archive, owner_text, parse_stamp
from drivers.script_errors import explained
from drivers.shell import Result, ScriptFailed, Shells, shell_of

_log = structlog.get_logger()

_HALF_MADE = (".new-", ".gone-")
_SCRIPT_SLACK_S = 90.0  # for the lock, the snapshot and the files, over the time to get ready or to stop


@dataclass(frozen=True, slots=True)
class LxcNodes:
    """Makes, stops, lists and removes nodes' containers, each step in one round trip to the host.

    `ready_timeout_s` bounds the wait for a node's Docker Engine after its start.
    """

    shells: Shells = shell_of
    ready_timeout_s: float = 30.0

    async def ensure(self, plan: NodePlan, files: Sequence[NodeFile]) -> None:
        """Make the node as planned and return when its Docker Engine is ready; see `Nodes.ensure`.

        Raises `ImageUnavailable`, `DiskFull`, `NodeNotStarted`, `DockerSilent`, `HostNotReady` (no pool, uids not
        claimed), `CommandFailed` (among others when the container of that name carries another node's stamp).
        """
        started = time.monotonic()
        args = (
            plan.host.root,
            plan.container,
            plan.image,
            owner_text(plan.stamp),
            str(plan.uid_base),
            plan.veth,
            str(round(self.ready_timeout_s * 1000)),
        )
        await self._run(
            plan.host,
            "node_ensure",
            args,
            stdin=archive(plan, files),
            timeout_s=self.ready_timeout_s + _SCRIPT_SLACK_S,
            what=f"Making node {plan.name} ({plan.container})",
        )
        _log.info("node.ready", node=plan.name, container=plan.container, took_s=_since(started))

    async def remove(self, host: Host, container: str) -> None:
        """Stop and remove the container and its disk, whatever state they are in; see `Nodes.remove`."""
        started = time.monotonic()
        what = f"Removing container {container}"
        await self._run(host, "node_remove", (host.root, container), timeout_s=_SCRIPT_SLACK_S, what=what)
        _log.info("node.removed", container=container, took_s=_since(started))

    async def found(self, host: Host) -> Sequence[FoundNode]:
        """Return the containers in the instance's directory on the host, half-made ones too.

        A container that is half-made, or half-removed, stands under its own name and does not run. Raises
        `PoolNotMounted` if the host has a pool that is not mounted, and `CommandFailed`.
        """
        result = await self._run(
            host, "nodes_found", (host.root,), timeout_s=_SCRIPT_SLACK_S, what=f"Listing containers on {host.name}"
        )
        nodes: dict[str, FoundNode] = {}
        for line in result.text.splitlines():  # whole ones come first
            directory, age_s, runs, stamp = line.split("\t")
            name = directory
            for mark in _HALF_MADE:
                name = name.removeprefix(mark)
            nodes.setdefault(name, FoundNode(name, parse_stamp(stamp), runs == "yes", float(age_s)))
        return tuple(nodes.values())

    async def stop(self, host: Host, container: str, timeout_s: float) -> None:
        """Stop the container cleanly, by force after `timeout_s`. One that does not run is no error."""
        await self._stop(host, (container,), timeout_s)

    async def stop_all(self, host: Host, timeout_s: float = 20.0) -> None:
        """Stop all containers of the instance on the host at once, as `stop` does."""
        await self._stop(host, (), timeout_s)

    async def _stop(self, host: Host, containers: Sequence[str], timeout_s: float) -> None:
        args = (host.root, str(round(timeout_s)), *containers)
        what = f"Stopping {' '.join(containers) or 'all containers'}"
        await self._run(host, "node_stop", args, timeout_s=timeout_s + _SCRIPT_SLACK_S, what=what)

    async def _run(
        self, host: Host, name: str, args: Sequence[str], *, timeout_s: float, what: str, stdin: bytes = b""
    ) -> Result:
        try:
            return await self.shells(host).run(script(name), args=args, stdin=stdin, timeout_s=timeout_s, what=what)
        except ScriptFailed as failure:
            raise explained(failure) from failure


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
