"""Steps about images: those that nodes are made from, and those of containers that clusters are to have."""

import asyncio
import time
from collections.abc import Mapping

from temporalio import activity

from activities.hosts_at_once import on_hosts
from activities.inputs import HostStep, ImageStep, Step
from activities.notes import note
from activities.ports import Archives, Images, Orchestrator
from activities.record_ports import Records
from activities.secrets import ClusterSecrets
from domain.errors import NotFound

_MEBIBYTE = 1024 * 1024
_SHOWN_OF_DIGEST = 12


class ImageActivities:
    """Makes sure of node images on hosts, and of container images on nodes."""

    def __init__(
        self,
        records: Records,
        secrets: ClusterSecrets,
        images: Images,
        archives: Archives,
        orchestrators: Mapping[str, Orchestrator],
    ) -> None:
        self._records = records
        self._secrets = secrets
        self._images = images
        self._archives = archives
        self._orchestrators = orchestrators

    @activity.defn
    async def ensure_images(self, step: Step) -> None:
        """Ensure that each host of the nodes that the operation reserved has the image that they are made from.

        Final: no release of the cluster's version. Retried: all else.
        """
        cluster = await asyncio.to_thread(self._records.cluster, step.cluster_id)
        reserved = {node.id for node in await asyncio.to_thread(self._records.operation_nodes, step.operation_id)}
        nodes = await asyncio.to_thread(self._records.nodes, step.cluster_id)
        hosts = {node.plan.host.id: node.plan.host for node in nodes if node.ref.id in reserved}
        digests = await on_hosts(list(hosts.values()), lambda host: self._images.ensure(host, cluster.type))
        for host_id, digest in zip(hosts, digests, strict=True):
            await asyncio.to_thread(self._records.set_image, step.operation_id, host_id, digest)

    @activity.defn
    async def collect_images(self, step: HostStep) -> None:
        """Ensure that no node image is kept on the host that nobody will ask for."""
        host = await asyncio.to_thread(self._records.host, step.host_id)
        gone = await self._images.collect(host)
        if gone:
            note(f"Removed {len(gone)}: {', '.join(digest[:_SHOWN_OF_DIGEST] for digest in gone)}.")

    @activity.defn
    async def load_image(self, step: ImageStep) -> None:
        """Ensure that the node has the container images of an archive."""
        await self._load(step, step.digest)

    @activity.defn
    async def load_images(self, step: Step) -> None:
        """Ensure that the node has all container images that were loaded into its cluster before it came."""
        for digest in await asyncio.to_thread(self._records.image_digests, step.cluster_id):
            await self._load(step, digest)

    @activity.defn
    def discard_images(self, step: Step) -> None:
        """Ensure that no archive of the cluster is kept any more."""
        self._archives.discard_all(step.cluster_id)

    async def _load(self, step: Step, digest: str) -> None:
        if step.node is None:
            message = "this step needs a node"
            raise ValueError(message)
        cluster = await asyncio.to_thread(self._records.cluster, step.cluster_id)
        facts = await asyncio.to_thread(self._records.node, step.node.id)
        access = await asyncio.to_thread(self._secrets.access, step.cluster_id)
        try:
            archive = await asyncio.to_thread(self._archives.path, step.cluster_id, digest)
        except NotFound:
            activity.logger.info("the archive was removed meanwhile")
            return
        began = time.monotonic()
        await self._orchestrators[cluster.coe].load_image(facts, archive, access)
        note(f"{archive.stat().st_size / _MEBIBYTE:.1f} MiB in {time.monotonic() - began:.1f} s.")
