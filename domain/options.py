"""What people may choose about a cluster beside its name, type and size: networks, registries and hosts."""

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from domain.clusters import COE_KUBERNETES
from domain.errors import InvalidInput, NoAddressLeft, SubnetOverlaps

NETWORK_FLANNEL = "flannel"
NETWORK_NONE = "none"
NETWORKS = (NETWORK_FLANNEL, NETWORK_NONE)

POD_POOL = ipaddress.IPv4Network("10.128.0.0/9")
"""Pod networks that Carina chooses come from here: one /16 for each cluster, beginning with `POD_DEFAULT`."""
POD_DEFAULT = ipaddress.IPv4Network("10.244.0.0/16")
SERVICE_DEFAULT = ipaddress.IPv4Network("10.245.0.0/16")
NODE_PREFIX = 24
"""Each node's pods have a /24 of the pod network (--node-cidr-mask-size of kube-controller-manager)."""
_CHOSEN_PREFIX = 16
_POD_PREFIXES = range(8, 21)  # a /20 has room for the pods of 16 nodes
_SERVICE_PREFIXES = range(12, 25)  # kube-apiserver refuses more than 20 bits of services
_DNS_OFFSET = 10
_MIRROR = re.compile(r"^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$")
_REGISTRY = re.compile(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$")


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What was chosen for a cluster. Networks are those of Kubernetes; empty for Swarm.

    `registry_mirrors` are pairs of a registry and the URL that is asked in its place; `insecure_registries` are
    registries (host:port) that are spoken to without TLS. `hosts` are the names of the only hosts that carry its
    nodes, unless there are none, `not_hosts` of those that don't; so it is for nodes that come later, too.
    """

    network: str = NETWORK_FLANNEL
    pod_subnet: str = ""
    service_subnet: str = ""
    registry_mirrors: tuple[tuple[str, str], ...] = ()
    insecure_registries: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()

    @property
    def dns_address(self) -> str:
        """The address of the cluster's DNS service: the tenth of the service subnet."""
        return str(ipaddress.IPv4Network(self.service_subnet).network_address + _DNS_OFFSET)

    @property
    def api_address(self) -> str:
        """The address of the service `kubernetes`: the first of the service subnet."""
        return str(ipaddress.IPv4Network(self.service_subnet).network_address + 1)


@dataclass(frozen=True, slots=True)
class AskedOptions:
    """What people ask for, unchecked. None is what they leave to Carina."""

    network: str | None = None
    pod_subnet: str | None = None
    service_subnet: str | None = None
    node_subnet: str | None = None
    registry_mirrors: Mapping[str, str] | None = None
    insecure_registries: Iterable[str] = ()
    hosts: Collection[str] = ()
    not_hosts: Collection[str] = ()


def check_options(
    asked: AskedOptions, coe: str, node_network: str | None, known_hosts: Iterable[str] = ()
) -> ClusterOptions:
    """Return the options of a new cluster, with what was left to Carina chosen.

    `node_network` is the instance's node network, if it has one yet; `known_hosts` are the names of all hosts. Raises
    `InvalidInput` naming the field, and `SubnetOverlaps`.
    """
    hosts, not_hosts = check_hosts(asked.hosts, asked.not_hosts, known_hosts)
    mirrors = tuple(sorted(_mirror(name, url) for name, url in (asked.registry_mirrors or {}).items()))
    insecure = tuple(sorted({_registry(name, "options.insecure_registries") for name in asked.insecure_registries}))
    if coe != COE_KUBERNETES:
        for field in ("network", "pod_subnet", "service_subnet"):
            if getattr(asked, field) is not None:
                raise InvalidInput(
                    f"Only Kubernetes clusters have a choice of {field}.",
                    field=f"options.{field}",
                    remedy="Leave the field out.",
                )
        _check_docker_mirrors(mirrors)
        return ClusterOptions(registry_mirrors=mirrors, insecure_registries=insecure, hosts=hosts, not_hosts=not_hosts)
    network = asked.network or NETWORK_FLANNEL
    if network not in NETWORKS:
        raise InvalidInput(
            f"There is no network {network!r}.",
            field="options.network",
            remedy=f"Choose one of: {', '.join(NETWORKS)}.",
        )
    taken = {"the nodes' own network": ipaddress.IPv4Network(node_network)} if node_network else {}
    pods = _given(asked.pod_subnet, "pod_subnet", _POD_PREFIXES, taken)
    if pods is not None:
        taken["the pod subnet"] = pods
    services = _given(asked.service_subnet, "service_subnet", _SERVICE_PREFIXES, taken)
    services = services or _chosen(SERVICE_DEFAULT, (*taken.values(), POD_DEFAULT))
    pods = pods or _chosen(POD_DEFAULT, (*taken.values(), services))
    return ClusterOptions(network, str(pods), str(services), mirrors, insecure, hosts, not_hosts)


def check_node_subnet(subnet: str, node_network: str) -> int:
    """Return the slot of a node subnet that people ask for: a /24 of the instance's `node_network`.

    Raises `InvalidInput`.
    """
    field = "options.node_subnet"
    asked = _network(subnet, field)
    whole = ipaddress.IPv4Network(node_network)
    if asked.prefixlen != NODE_PREFIX or not asked.subnet_of(whole):
        raise InvalidInput(
            f"A cluster's node subnet is a /{NODE_PREFIX} of {whole}, not {asked}.",
            field=field,
            remedy=f"Choose one such as {whole.network_address}/{NODE_PREFIX}, or leave it out.",
        )
    return (int(asked.network_address) - int(whole.network_address)) >> (32 - NODE_PREFIX)


def check_hosts(
    hosts: Collection[str], not_hosts: Collection[str], known: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of hosts that were asked for and excluded, sorted, if each is `known` and on one side only.

    They are taken in any case, and returned as they are `known`. Raises `InvalidInput` naming the field and the hosts
    that there are.
    """
    there = {name.lower(): name for name in known}
    asked, excluded = _hosts(hosts, there, "options.hosts"), _hosts(not_hosts, there, "options.not_hosts")
    both = sorted(set(asked) & set(excluded))
    if both:
        raise InvalidInput(
            f"The host {both[0]!r} is asked for and excluded.", field="options.not_hosts", remedy="Name it once."
        )
    return asked, excluded


def _hosts(names: Collection[str], there: Mapping[str, str], field: str) -> tuple[str, ...]:
    unknown = sorted({name for name in names if name.lower() not in there})
    if unknown:
        choice = f"Choose from: {', '.join(sorted(there.values()))}." if there else "There are no hosts: leave it out."
        raise InvalidInput(f"There is no host {unknown[0]!r}.", field=field, remedy=choice)
    return tuple(sorted({there[name.lower()] for name in names}))


def _given(
    subnet: str | None, name: str, prefixes: range, taken: Mapping[str, ipaddress.IPv4Network]
) -> ipaddress.IPv4Network | None:
    if subnet is None:
        return None
    field = f"options.{name}"
    network = _network(subnet, field)
    if network.prefixlen not in prefixes or not network.is_private:
        raise InvalidInput(
            f"This is a private network from /{prefixes[0]} to /{prefixes[-1]}, not {network}.",
            field=field,
            remedy="Choose a private network (RFC 1918) of such a size.",
        )
    for what, other in taken.items():
        if network.overlaps(other):
            raise SubnetOverlaps(f"{network} overlaps {other}, {what}.", field=field)
    return network


def _network(subnet: str, field: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise InvalidInput(
            f"{subnet!r} is no IPv4 network: {error}.", field=field, remedy=f"Write it like {POD_DEFAULT}."
        ) from error


def _chosen(preferred: ipaddress.IPv4Network, taken: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    used = tuple(taken)
    for candidate in (preferred, *POD_POOL.subnets(new_prefix=_CHOSEN_PREFIX)):
        if not any(candidate.overlaps(other) for other in used):
            return candidate
    raise NoAddressLeft(f"All of {POD_POOL} is taken.")


def _mirror(registry: str, url: str) -> tuple[str, str]:
    field = "options.registry_mirrors"
    if not _MIRROR.fullmatch(url):
        raise InvalidInput(
            f"{url!r} is no address of a registry.", field=field, remedy="Write it like http://10.0.0.5:5000."
        )
    return _registry(registry, field), url.rstrip("/")


def _registry(name: str, field: str) -> str:
    if not _REGISTRY.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no registry.", field=field, remedy="Write host or host:port, like docker.io or 10.0.0.5:5000."
        )
    return name


def _check_docker_mirrors(mirrors: Iterable[tuple[str, str]]) -> None:
    for registry, _ in mirrors:
        if registry != "docker.io":
            raise InvalidInput(
                f"Docker takes a mirror for docker.io only, not for {registry}.",
                field="options.registry_mirrors",
                remedy="Leave it out, or name the registry in the image's name.",
            )
