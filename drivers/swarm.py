"""Docker Swarm as an orchestrator: what its modules do, off the event loop, under one set of errors."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog

from domain.clusters import COE_SWARM, Capability
from domain.errors import ImageLoadFailed, OverlayFailed, StepFailed, SwarmFailed
from domain.facts import ClusterFacts, NodeFacts
from domain.nodes import Member, NodeFile, NodePlan
from domain.overlays import Overlay
from domain.secrets import Access, ClusterKeys
from drivers import (
    swarm_credentials,
    swarm_files,
    swarm_images,
    swarm_membership,
    swarm_overlays,
    swarm_restarts,
    swarm_verify,
)
from drivers.docker_client import DOCKER_PORT, Engines, docker_errors
from drivers.pki import CertificatePki
from drivers.tls import netloc

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")
_THREADS = 32


class Swarm:
    """Fits `Orchestrator`. Its calls raise `DockerSilent` where an engine does not answer.

    A call that is cancelled returns at once; what it had begun runs to its own bound, and tidies up.
    """

    coe = COE_SWARM
    control_groups: Sequence[str] = ()
    person_groups: Sequence[str] = ()
    person_lifetime: timedelta | None = None  # Docker knows no groups, and scripts keep what they once fetched

    def __init__(
        self,
        pki: CertificatePki,
        *,
        patience_s: float = swarm_verify.PATIENCE_S,
        linger_s: float = swarm_verify.LINGER_S,
    ) -> None:
        """`patience_s` is how long a proof of an overlay network asks before it calls it broken.

        `linger_s` is how long its containers stay after it.
        """
        self._pki = pki
        self._times = patience_s, linger_s
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="swarm")

    def close(self) -> None:
        """Let go of the threads; calls that still run end by their own bounds."""
        self._threads.shutdown(wait=False)

    def keys(self, cluster_name: str) -> Mapping[str, bytes]:  # noqa: ARG002 - the port's signature
        """Return nothing: a swarm needs no more than its authority."""
        return {}

    def node_files(
        self,
        cluster: ClusterFacts,
        plan: NodePlan,
        manager: Member,  # noqa: ARG002 - nodes are told of their manager when they join
        keys: ClusterKeys,
    ) -> Sequence[NodeFile]:
        """Return the files that a node has before its first start."""
        server = self._pki.server(
            keys.authority,
            name=plan.name,
            names=[plan.name, plan.container, "localhost"],
            addresses=[plan.address, "127.0.0.1", *filter(None, [plan.host.public_address])],
        )
        return swarm_files.node_files(plan, cluster.options, keys.authority.cert_pem, server)

    def credentials(self, cluster_name: str, endpoint: str, access: Access) -> Mapping[str, bytes]:
        """Return the files, by name, of the archive that people use to reach the cluster's Docker API."""
        return swarm_credentials.credentials(cluster_name, endpoint, access)

    def endpoint(self, manager: Member) -> str:
        """Return the address of the cluster's Docker API."""
        return f"tcp://{netloc(*manager.api(DOCKER_PORT))}"

    async def form(self, manager: Member, access: Access) -> None:
        """Make the swarm with its first member; raise `SwarmFailed` if Docker refuses."""
        await self._run(SwarmFailed, f"form the swarm on {manager.name}", access, swarm_membership.form, manager)
        _log.info("swarm.formed", node=manager.name)

    async def join(self, manager: Member, node: Member, access: Access) -> None:
        """Make `node` a member; raise `SwarmFailed` if Docker refuses or the node does not get ready."""
        await self._run(SwarmFailed, f"join {node.name}", access, swarm_membership.join, manager, node)
        _log.info("swarm.joined", node=node.name)

    async def drain(self, manager: Member, node: Member, access: Access) -> Sequence[str]:
        """Move services' tasks off `node`, within a bound. A node that is no member is no error."""
        await self._run(SwarmFailed, f"drain {node.name}", access, swarm_membership.drain, manager, node)
        _log.info("swarm.drained", node=node.name)
        return ()

    async def undrain(self, manager: Member, node: Member, access: Access) -> None:
        """Let `node` take tasks again. A node that is no member is no error."""
        await self._run(SwarmFailed, f"undrain {node.name}", access, swarm_membership.undrain, manager, node)
        _log.info("swarm.undrained", node=node.name)

    async def leave(self, manager: Member, node: Member, access: Access) -> None:
        """End the membership of `node`, dead or alive. No member is no error; a silent manager is."""
        await self._run(SwarmFailed, f"remove {node.name}", access, swarm_membership.leave, manager, node)
        _log.info("swarm.left", node=node.name)

    async def ensure_overlay(self, members: Sequence[Member], overlay: Overlay, access: Access) -> None:
        """Make the overlay network unless it is there as described; raise `OverlayFailed` if that can't be."""
        doing = f"make the overlay network {overlay.name}"
        await self._run(OverlayFailed, doing, access, swarm_overlays.ensure_overlay, members, overlay)
        _log.info("overlay.made", overlay=overlay.name, subnet=overlay.subnet, mtu=overlay.mtu)

    async def remove_overlay(self, members: Sequence[Member], name: str, access: Access) -> None:
        """Remove the overlay network. None there is no error; one in use raises `OverlayFailed`."""
        doing = f"remove the overlay network {name}"
        await self._run(OverlayFailed, doing, access, swarm_overlays.remove_overlay, members, name)
        _log.info("overlay.removed", overlay=name)

    async def verify(self, members: Sequence[Member], overlay: Overlay, access: Access) -> Sequence[Capability]:
        """Check from inside that containers on each member reach those on every other; raise `OverlayUnreachable`."""
        began = time.monotonic()
        doing = f"prove the overlay network {overlay.name}"
        await self._run(OverlayFailed, doing, access, swarm_verify.verify, members, overlay, *self._times)
        took_s = round(time.monotonic() - began, 3)
        _log.info("overlay.proved", overlay=overlay.name, nodes=len(members), took_s=took_s)
        return ()

    async def health(self, manager: Member, access: Access) -> Mapping[str, bool]:
        """Return, by host name, whether the swarm holds the node for ready."""
        return await self._run(SwarmFailed, "list its nodes", access, swarm_membership.health, manager)

    async def start_unattached(self, member: Member, access: Access) -> Sequence[str]:
        """Start what the engine could not start again when it came back; see `swarm_restarts`."""
        doing = f"start containers that were left on {member.name}"
        started = await self._run(SwarmFailed, doing, access, swarm_restarts.start_unattached, member)
        if started:
            _log.warning("swarm.started_again", node=member.name, containers=started)
        return started

    async def load_image(self, node: NodeFacts, archive: Path, access: Access) -> None:
        """Put the container images of an archive into the node's engine; raise `ImageLoadFailed`."""
        doing = f"load an image into {node.ref.name}"
        await self._run(ImageLoadFailed, doing, access, swarm_images.load, node.member, archive)
        _log.info("image.loaded", node=node.ref.name, archive=archive.name)

    async def _run(
        self, failure: type[StepFailed], doing: str, access: Access, function: Callable[..., _T], *args: Any
    ) -> _T:
        def run() -> _T:
            with docker_errors(failure, doing), Engines(access) as engines:
                return function(engines, *args)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)
