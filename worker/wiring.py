"""The one module that knows every driver: it joins drivers and store to activities, and both to the API."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.worker import Interceptor, Worker

from activities.credentials import CredentialActivities
from activities.fabric import FabricActivities
from activities.hosts import HostActivities
from activities.images import ImageActivities
from activities.maintenance import MaintenanceActivities
from activities.membership import MembershipActivities
from activities.moves import MoveActivities
from activities.nodes import NodeActivities
from activities.overlay import OverlayActivities
from activities.people import PeopleCredentials
from activities.ports import Archives, Fabric, Hosts, Images, Nodes, Orchestrator, Pki, Vault
from activities.progress import ProgressInterceptor
from activities.publications import PublicationActivities
from activities.record_ports import Records
from activities.records import RecordActivities
from activities.secrets import ClusterSecrets
from api.app import ApiDependencies, create_app
from api.ports import Probe
from api.probes import database_probe
from api.reconciler import Reconciler
from api.starter import TemporalStarter
from api.tokens import AdminToken, digest
from domain.clusters import COE_KUBERNETES
from domain.errors import HostNotReady, ReleaseMissing
from domain.hosts import Host, HostState
from domain.instance import Instance
from drivers.fabric import LinuxFabric
from drivers.hosts import LinuxHosts
from drivers.images import NodeImages
from drivers.kubernetes import Kubernetes
from drivers.lxc import LxcNodes
from drivers.pki import CertificatePki
from drivers.releases import Releases
from drivers.shell import Shells
from drivers.shells import HostShells
from drivers.swarm import Swarm
from drivers.vault import FileVault
from store.archives import ArchiveFolder
from store.engine import make_engine
from store.host_admin import HostAdmin
from store.hosts import ensure_local_host
from store.migrate import upgrade
from store.outbox import Outbox
from store.records import StoreRecords
from store.tables import DEFAULT_TENANT
from worker.home import Home
from worker.reach import SshProbes, host_shells
from worker.settings import Settings
from worker.temporal_worker import make_worker
from worker.watch import Watch
from workflows.names import task_queue


@dataclass(frozen=True)
class Drivers:
    """The outside world, behind the ports."""

    nodes: Nodes
    fabric: Fabric
    hosts: Hosts
    images: Images
    pki: Pki
    orchestrators: Mapping[str, Orchestrator]


def hosts_driver(settings: Settings, instance: Instance, shells: Shells) -> LinuxHosts:
    """Return the driver that measures and prepares hosts."""
    return LinuxHosts(
        instance,
        shells,
        pool_bytes=settings.pool_bytes or None,
        network=settings.node_network or None,
        uid_ranges=settings.uid_ranges,
        wireguard=settings.wireguard,
        disconnect=shells.forget if isinstance(shells, HostShells) else None,
    )


def host_drivers(
    settings: Settings, instance: Instance, shells: Shells, local_host: Callable[[], Host | None] = lambda: None
) -> tuple[LxcNodes, LinuxFabric, LinuxHosts, NodeImages]:
    """Return the drivers that work on hosts. On `local_host` images are built for the others."""
    nodes = LxcNodes(shells, ready_timeout_s=settings.node_ready_timeout_s)
    releases = Releases(Home(settings.home).releases)
    images = NodeImages(shells, str(settings.cache), releases=releases, builder=local_host, kinds=settings.types)
    return nodes, LinuxFabric(instance, shells), hosts_driver(settings, instance, shells), images


def real_drivers(
    settings: Settings, instance: Instance, shells: Shells, local_host: Callable[[], Host | None]
) -> Drivers:
    """Return the drivers that people get."""
    nodes, fabric, hosts, images = host_drivers(settings, instance, shells, local_host)
    pki = CertificatePki()
    orchestrators: tuple[Orchestrator, ...] = (Swarm(pki), Kubernetes(pki, shells))
    return Drivers(nodes, fabric, hosts, images, pki, {each.coe: each for each in orchestrators})


def activities_of(
    drivers: Drivers, records: Records, vault: Vault, archives: Archives, management_networks: Sequence[str] = ()
) -> Sequence[Callable[..., Any]]:
    """Return every activity, bound to its drivers. Nodes open no connections to `management_networks` (CIDR)."""
    secrets = ClusterSecrets(records, vault)
    concerns = (
        RecordActivities(records),
        CredentialActivities(records, secrets, drivers.pki, drivers.orchestrators),
        FabricActivities(records, drivers.fabric),
        ImageActivities(records, secrets, drivers.images, archives, drivers.orchestrators),
        NodeActivities(records, secrets, drivers.nodes, drivers.orchestrators),
        MembershipActivities(records, secrets, drivers.orchestrators),
        OverlayActivities(records, secrets, drivers.orchestrators),
        PublicationActivities(records, drivers.fabric),
        HostActivities(records, drivers.hosts, drivers.images, drivers.fabric, management_networks),
        MoveActivities(records, drivers.nodes, drivers.hosts),
        MaintenanceActivities(records, drivers.nodes, drivers.fabric),
    )
    return [
        method
        for concern in concerns
        for name in dir(concern)
        if hasattr(method := getattr(concern, name), "__temporal_activity_definition")
    ]


@dataclass(frozen=True)
class InstalledReleases:
    """Says what clusters can be made of: a Swarm always, its engine being in the node image; else what was added."""

    releases: Releases

    def has(self, coe: str, version: str) -> bool:
        """Return whether the orchestrator can be had in that version."""
        if coe != COE_KUBERNETES:
            return True
        try:
            self.releases.get(coe, version)
        except ReleaseMissing:
            return False
        return True


@dataclass(frozen=True)
class Service:
    """An instance, opened: its home, its database brought up to date, its vault.

    `shells` are those of the whole process: worker, watch and API run on one event loop, and share connections.
    """

    settings: Settings
    home: Home
    instance: Instance
    engine: Engine
    vault: FileVault
    shells: HostShells

    @property
    def archives(self) -> ArchiveFolder:
        """Where archives of container images are kept."""
        return ArchiveFolder(self.home.archives)

    @property
    def records(self) -> StoreRecords:
        """The activities' face of the store."""
        return StoreRecords(self.engine, self.instance)

    def add_this_host(self) -> str:
        """Make sure that the machine is among the hosts, and return its id."""
        return ensure_local_host(self.engine, root=str(self.home.host_root), name="local").id

    def worker(self, client: Client, *, drivers: Drivers | None = None, more: Sequence[Interceptor] = ()) -> Worker:
        """Return the Temporal worker. `more` interceptors stand outside Carina's own."""
        records = self.records
        return make_worker(
            client,
            task_queue(self.instance.prefix),
            activities_of(
                drivers or self.drivers(), records, self.vault, self.archives, self.settings.guarded_networks
            ),
            [*more, ProgressInterceptor(records)],
        )

    def drivers(self) -> Drivers:
        """Return drivers of their own, over the shells that all share."""
        return real_drivers(self.settings, self.instance, self.shells, self.local_host)

    def local_host(self) -> Host | None:
        """Return this machine as a host, None if it is none."""
        return next((host for host in self.records.hosts() if host.local), None)

    def watch(self) -> Watch:
        """Return the loop that sees whether clusters are well. Its drivers are its own: silence must stop no worker."""
        drivers = self.drivers()
        secrets = ClusterSecrets(self.records, self.vault)
        period_s = self.settings.check_every_s
        return Watch(self.records, secrets, drivers.nodes, drivers.fabric, drivers.orchestrators, period_s=period_s)

    def app(self, client: Client) -> FastAPI:
        """Return the HTTP application."""
        token = AdminToken(digest(self.home.admin_token()), DEFAULT_TENANT)
        probes: dict[str, Probe] = {
            "database": database_probe(self.engine),
            "temporal": temporal_probe(client),
            "host": host_probe(self.records, Outbox(self.engine)),
        }
        starter = TemporalStarter(client, task_queue=task_queue(self.instance.prefix))
        return create_app(
            ApiDependencies(
                engine=self.engine,
                tokens=token,
                starter=starter,
                credentials=self.credentials(),
                archives=self.archives,
                releases=InstalledReleases(Releases(self.home.releases)),
                types=self.settings.types,
                probes=probes,
                max_upload_bytes=self.settings.max_upload_bytes,
                host_probes=self.host_probes(),
                host_root=f"/var/lib/carina/{self.instance.prefix}",
            )
        )

    def host_probes(self) -> SshProbes:
        """Return what looks at machines before they are hosts."""
        return SshProbes(
            self.home.path,
            lambda shells: hosts_driver(self.settings, self.instance, shells),
            HostAdmin(self.engine).node_network,
        )

    def credentials(self) -> PeopleCredentials:
        """Return what issues people's credentials."""
        drivers = self.drivers()
        secrets = ClusterSecrets(self.records, self.vault)
        return PeopleCredentials(self.records, secrets, drivers.pki, drivers.orchestrators)

    def reconciler(self, client: Client) -> Reconciler:
        """Return the loop that brings rows and workflows together."""
        return Reconciler(Outbox(self.engine), TemporalStarter(client, task_queue=task_queue(self.instance.prefix)))


def open_service(settings: Settings) -> Service:
    """Open the instance in the settings' home, making what is missing and migrating its database."""
    home = Home(settings.home)
    identity = home.identity(settings.prefix)
    home.admin_token()
    if not settings.database_url:
        home.database.touch(mode=0o600)  # SQLite gives its files beside it the same mode
    engine = make_engine(settings.database)
    upgrade(engine)
    return Service(settings, home, identity.instance, engine, FileVault(home.vault_key), host_shells(home.path))


def temporal_probe(client: Client) -> Probe:
    """Return a probe that asks the Temporal server whether it serves."""

    async def probe() -> None:
        if not await client.service_client.check_health():
            message = "the Temporal server does not serve"
            raise RuntimeError(message)

    return probe


def host_probe(records: Records, outbox: Outbox) -> Probe:
    """Return a probe that looks for a host that is ready for nodes, and says what keeps the only one from it."""

    async def probe() -> None:
        if any(host.state is HostState.READY for host in await asyncio.to_thread(records.hosts)):
            return
        operation = await asyncio.to_thread(outbox.last_prepare_host)
        if operation is not None and operation.error is not None:
            raise HostNotReady(f"Preparing the host failed. {operation.error.detail}")
        raise HostNotReady("The host is being prepared.")

    return probe
