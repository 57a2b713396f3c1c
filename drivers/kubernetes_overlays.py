"""The overlays of a Kubernetes cluster: the default one is its pod network, any other is a namespace. Blocks."""

from collections.abc import Sequence

from domain.clusters import Capability
from domain.nodes import Member
from domain.overlays import DEFAULT_OVERLAY, Overlay
from drivers import kubernetes_membership, kubernetes_namespaces, kubernetes_verify
from drivers.kubernetes_client import Api

_MEASURED_ON = 2


def ensure(api: Api, overlay: Overlay) -> None:
    """Return once all nodes have a part of the pod network; or make the namespace, with its policies and Services.

    That the network's routes are there is for `verify` to see: its probes start while they come.
    """
    if overlay.name == DEFAULT_OVERLAY:
        kubernetes_membership.await_ranges(api)
    else:
        members = kubernetes_membership.some_ready(api, _MEASURED_ON)
        kubernetes_namespaces.ensure(api, members, overlay)


def remove(api: Api, name: str) -> None:
    """Remove a namespace. The pod network stays, whoever asks: all pods are in it, and it goes with its cluster."""
    if name != DEFAULT_OVERLAY:
        kubernetes_namespaces.remove(api, name)


def verify(api: Api, members: Sequence[Member], overlay: Overlay, patience_s: int) -> Sequence[Capability]:
    """Check from inside what the overlay is for; return what was found out on the way."""
    prove = kubernetes_verify.verify if overlay.name == DEFAULT_OVERLAY else kubernetes_namespaces.verify
    return prove(api, members, overlay, patience_s)
