"""Kubernetes as an orchestrator: what its modules do, off the event loop, under one set of errors."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog

from domain.clusters import COE_KUBERNETES, Capability
from domain.errors import KubernetesFailed, OverlayFailed, StepFailed
from domain.facts import ClusterFacts, NodeFacts
from domain.nodes import Member, NodeFile, NodePlan, manager_of
from domain.overlays import Overlay
from domain.secrets import Access, ClusterKeys
from drivers import (
    container_images,
    kubernetes_credentials,
    kubernetes_drain,
    kubernetes_files,
    kubernetes_keys,
    kubernetes_membership,
    kubernetes_overlays,
)
from drivers.kubernetes_addons import ADMINS
from drivers.kubernetes_client import API_PORT, Api, kubernetes_errors
from drivers.kubernetes_questions import PATIENCE_S
from drivers.pki import CertificatePki
from drivers.shell import Shells
from drivers.tls import netloc

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")
_THREADS = 32


class Kubernetes:
    """Fits `Orchestrator`. Its calls raise `KubernetesFailed` where the API does not answer.

    A call that is cancelled returns at once; what it had begun runs to its own bound, and tidies up.
    """

    coe = COE_KUBERNETES
    control_groups = ("system:masters",)
    person_groups = (ADMINS,)
    person_lifetime = dt.timedelta(days=1)

    def __init__(self, pki: CertificatePki, shells: Shells, *, patience_s: int = PATIENCE_S) -> None:
        """`patience_s` is how long a proof of a network asks before it calls it broken."""
        self._patience_s = patience_s
        self._pki = pki
        self._shells = shells
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kubernetes")

    def close(self) -> None:
        """Let go of the threads; calls that still run end by their own bounds."""
        self._threads.shutdown(wait=False)

    def keys(self, cluster_name: str) -> Mapping[str, bytes]:
        """Mint the cluster's further authorities and keys, by name."""
        return kubernetes_keys.keys(self._pki, cluster_name)

    def node_files(
        self, cluster: ClusterFacts, plan: NodePlan, manager: Member, keys: ClusterKeys
    ) -> Sequence[NodeFile]:
        """Return the files that a node has before its first start, certificates included."""
        return kubernetes_files.node_files(self._pki, cluster, plan, manager, keys)

    def credentials(self, cluster_name: str, endpoint: str, access: Access) -> Mapping[str, bytes]:
        """Return the files, by name, of the archive that people use to reach the cluster's Kubernetes API."""
        return kubernetes_credentials.credentials(cluster_name, endpoint, access)

    def endpoint(self, manager: Member) -> str:
        """Return the address of the cluster's Kubernetes API."""
        return f"https://{netloc(*manager.api(API_PORT))}"

    async def form(self, manager: Member, access: Access) -> None:
        """Return once the API is ready, with the add-ons, and its first node Ready; raise `KubernetesFailed`."""
        doing = f"form the cluster on {manager.name}"
        await self._run(KubernetesFailed, doing, manager, access, kubernetes_membership.form, manager)
        _log.info("kubernetes.formed", node=manager.name)

    async def join(self, manager: Member, node: Member, access: Access) -> None:
        """Return once `node` is Ready; raise `KubernetesFailed` with what it says if it does not get so."""
        doing = f"let {node.name} join"
        await self._run(KubernetesFailed, doing, manager, access, kubernetes_membership.join, manager, node)
        _log.info("kubernetes.joined", node=node.name)

    async def drain(self, manager: Member, node: Member, access: Access) -> Sequence[str]:
        """Cordon `node` and evict its pods, within a bound; return what had no other home. No member is no error."""
        doing = f"drain {node.name}"
        notes = await self._run(KubernetesFailed, doing, manager, access, kubernetes_drain.drain, node)
        _log.info("kubernetes.drained", node=node.name, notes=len(notes))
        return notes

    async def undrain(self, manager: Member, node: Member, access: Access) -> None:
        """Let `node` take pods again. A node that is no member is no error."""
        doing = f"undrain {node.name}"
        await self._run(KubernetesFailed, doing, manager, access, kubernetes_drain.undrain, node)
        _log.info("kubernetes.undrained", node=node.name)

    async def leave(self, manager: Member, node: Member, access: Access) -> None:
        """Strike `node` off, dead or alive. No member is no error; a silent manager is."""
        doing = f"remove {node.name}"
        await self._run(KubernetesFailed, doing, manager, access, kubernetes_membership.leave, node)
        _log.info("kubernetes.left", node=node.name)

    async def ensure_overlay(self, members: Sequence[Member], overlay: Overlay, access: Access) -> None:
        """Return once all nodes have a part of the pod network; make any other overlay, a namespace, as described.

        Raises `OverlayFailed`, and `PolicyNotEnforced` where a namespace could not be closed.
        """
        doing = f"make the overlay {overlay.name}"
        await self._run(OverlayFailed, doing, manager_of(members), access, kubernetes_overlays.ensure, overlay)
        _log.info("overlay.made", overlay=overlay.name, subnet=overlay.subnet)

    async def remove_overlay(self, members: Sequence[Member], name: str, access: Access) -> None:
        """Remove the overlay's namespace. None there is no error; the pod network stays as long as its cluster."""
        doing = f"remove the overlay {name}"
        await self._run(OverlayFailed, doing, manager_of(members), access, kubernetes_overlays.remove, name)
        _log.info("overlay.removed", overlay=name)

    async def verify(self, members: Sequence[Member], overlay: Overlay, access: Access) -> Sequence[Capability]:
        """Check from inside what the overlay is for; raise `OverlayUnreachable` naming who does not reach whom."""
        began = time.monotonic()
        doing = f"prove the network {overlay.name}"
        found = await self._run(
            OverlayFailed,
            doing,
            manager_of(members),
            access,
            kubernetes_overlays.verify,
            members,
            overlay,
            self._patience_s,
        )
        took_s = round(time.monotonic() - began, 3)
        _log.info("overlay.proved", overlay=overlay.name, nodes=len(members), took_s=took_s)
        return found

    async def health(self, manager: Member, access: Access) -> Mapping[str, bool]:
        """Return, by name, whether the cluster holds the node for ready."""
        return await self._run(KubernetesFailed, "list its nodes", manager, access, kubernetes_membership.health)

    async def start_unattached(self, member: Member, access: Access) -> Sequence[str]:  # noqa: ARG002 - kubelets try again by themselves
        """Return nothing: kubelets start their pods again until that succeeds."""
        return ()

    async def load_image(self, node: NodeFacts, archive: Path, access: Access) -> None:  # noqa: ARG002 - the host's shell suffices
        """Put the container images of an archive into the node's containerd; raise `ImageLoadFailed`."""
        await container_images.load(self._shells(node.plan.host), node.plan, archive)

    async def _run(
        self,
        failure: type[StepFailed],
        doing: str,
        manager: Member,
        access: Access,
        function: Callable[..., _T],
        *args: Any,
    ) -> _T:
        def run() -> _T:
            with kubernetes_errors(failure, doing, manager.api(API_PORT)[0]), Api(manager, access) as api:
                return function(api, *args)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)
