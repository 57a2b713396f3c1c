"""The catalogue of errors that Carina foresees.

One code is one meaning, in the API, the CLI, the page and the Temporal UI::

    CarinaError
     + InvalidInput            400  a field of a request is wrong
     + Unauthorized            401
     + Forbidden               403
     + NotFound                404
     + NotReady                404  the thing asked for is not there yet
     + MethodNotAllowed        405
     + UnsupportedVersion      406
     + Conflict                409
     |  + NameTaken, ClusterBusy, KeyReused, SubnetOverlaps, OverlayExists, ReleaseMissing, HostInUse, HostBusy,
     |    HostKeyUnconfirmed, PortTaken
     + BodyTooLarge            413
     + Unavailable             503  the service itself can't serve now
     + StorageFull             507  the service's own disk has no room for what is sent
     + StepFailed              a step of an operation went wrong
        + HostUnreachable (a CommandFailed), HostKeyChanged, HostAccessDenied
        + HostNotReady, ImageUnavailable, ReleaseUnavailable, DiskFull, NoAddressLeft, NoRoom, NodeNotStarted,
          DockerSilent, SwarmFailed, KubernetesFailed, OverlayFailed, OverlayUnreachable, EncryptionUnsupported,
          PolicyNotEnforced, ImageLoadFailed, CommandFailed, SegmentBroken, ManagerLost
     + SecretUnreadable        a sealed secret can't be opened
     + OperationLost, OperationCancelled
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

MAX_DETAIL_CHARS = 2000
"""Longest detail that is kept: command output is cut to this, so that it fits histories and rows."""


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """What is kept of an error: on the operation, on its step and on the cluster."""

    code: str
    title: str
    detail: str
    remedy: str = ""


class CarinaError(Exception):
    """An error that Carina foresees. `detail` says what happened here, `remedy` what the reader can do.

    `field` names the request's field at fault, if there is one. `retryable` says whether trying the same
    step again may help.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong inside Carina"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = True
    default_remedy: ClassVar[str] = "Look at the service's log for the request id."

    def __init__(self, detail: str, *, field: str | None = None, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail[:MAX_DETAIL_CHARS]
        self.field = field
        self.remedy = self.default_remedy if remedy is None else remedy

    @property
    def extra(self) -> Mapping[str, str]:
        """What a program needs to go on from here, beside the words for people; most errors have nothing."""
        return {}

    def record(self) -> ErrorRecord:
        """Return the part of the error that is stored and shown."""
        return ErrorRecord(self.code, self.title, self.detail, self.remedy)


class InvalidInput(CarinaError):  # noqa: N818 - the catalogue's names read as what happened
    """A field of the request is wrong."""

    code = "invalid-input"
    title = "A field of the request is wrong"
    status = 400
    retryable = False
    default_remedy = "Correct the field and send the request again."


class Unauthorized(CarinaError):  # noqa: N818
    """No token came with the request, or a wrong one."""

    code = "unauthorized"
    title = "A valid token is needed"
    status = 401
    retryable = False
    default_remedy = "Send the token as X-Auth-Token; the administrator's is in the file admin-token in Carina's home."


class Forbidden(CarinaError):  # noqa: N818
    """The token is valid, but does not speak for somebody who may do this."""

    code = "forbidden"
    title = "Only administrators may do this"
    status = 403
    retryable = False
    default_remedy = "Use the administrator's token; it is in the file admin-token in Carina's home."


class NotFound(CarinaError):  # noqa: N818
    """The thing named by the request is not there."""

    code = "not-found"
    title = "There is no such thing"
    status = 404
    retryable = False
    default_remedy = "List what there is, and check the id."


class NotReady(CarinaError):  # noqa: N818
    """The thing asked for comes into being later."""

    code = "not-ready"
    title = "It is not there yet"
    status = 404
    retryable = False
    default_remedy = "Wait until the cluster is active."


class MethodNotAllowed(CarinaError):  # noqa: N818
    """The path is there, but does not take the request's method."""

    code = "method-not-allowed"
    title = "The path does not take this method"
    status = 405
    retryable = False
    default_remedy = "See /docs for what each path takes."


class UnsupportedVersion(CarinaError):  # noqa: N818
    """The API-Version header names a version that is not served."""

    code = "make-coe-api.microverion-unsupported"
    title = "This version of the API is not supported"
    status = 406
    retryable = False
    default_remedy = "Send 'API-Version: rax:container 1.0', or leave the header out."


class Conflict(CarinaError):  # noqa: N818
    """The request is at odds with what there is."""

    code = "conflict"
    title = "The request is at odds with what there is"
    status = 409
    retryable = False
    default_remedy = "Look at the present state and decide anew."


class NameTaken(Conflict):
    """A cluster of this owner has that name, compared without regard to case."""

    code = "name-taken"
    title = "The name is taken"
    default_remedy = "Choose another name, or delete the cluster that has it."


class ClusterBusy(Conflict):
    """Another operation is changing the cluster."""

    code = "cluster-busy"
    title = "The cluster is being changed"
    default_remedy = "Wait for the operation named to end, then try again."


class KeyReused(Conflict):
    """An Idempotency-Key came back with another body."""

    code = "idempotency-key-reused"
    title = "The Idempotency-Key was used for another request"
    default_remedy = "Use a new key for a new request."


class SubnetOverlaps(Conflict):
    """A subnet overlaps one that is in use."""

    code = "subnet-overlaps"
    title = "The subnet overlaps one in use"
    default_remedy = "Choose another subnet, or leave it out and Carina chooses one."


class OverlayExists(Conflict):
    """The cluster has an overlay network of that name."""

    code = "overlay-exists"
    title = "The overlay network exists"
    default_remedy = "Choose another name, or remove the overlay network that has it."


class ReleaseMissing(Conflict):
    """The service has no release of the version that a cluster is to be made of."""

    code = "release-missing"
    title = "The release is not there"
    default_remedy = "Add it on the service's machine with 'carinad release add kubernetes VERSION'."


class BodyTooLarge(CarinaError):  # noqa: N818
    """The request's body is longer than any request needs."""

    code = "body-too-large"
    title = "The request's body is too large"
    status = 413
    retryable = False
    default_remedy = "Send a shorter body."


class Unavailable(CarinaError):  # noqa: N818
    """A part of the service that the request needs does not answer."""

    code = "unavailable"
    title = "The service can't serve this now"
    status = 503
    default_remedy = "Try again in a moment; /readyz says which part is missing."


class StorageFull(CarinaError):  # noqa: N818
    """The disk that the service keeps its own data on has no room for what was sent."""

    code = "storage-full"
    title = "The service's disk is full"
    status = 507
    retryable = False
    default_remedy = "Make room on the disk of Carina's home, for example by removing images; then send it again."


class StepFailed(CarinaError):  # noqa: N818
    """A step of an operation went wrong, in a way that trying again may heal."""

    code = "step-failed"
    title = "A step failed"
    default_remedy = "Look at the operation's steps; the cluster can be deleted and created again."


class CommandFailed(StepFailed):
    """A command on a host ended with an error."""

    code = "command-failed"
    title = "A command on a host failed"


class HostUnreachable(CommandFailed):
    """The host does not answer, or the connection to it was cut."""

    code = "host-unreachable"
    title = "The host can't be reached"
    status = 502
    default_remedy = (
        "Check that the host is up, and that its address and SSH port answer; then try again. "
        "New nodes go to other hosts once it has not answered for a minute."
    )


class HostKeyChanged(StepFailed):
    """The host presents another key than the one that was confirmed: it may be another machine."""

    code = "host-key-changed"
    title = "The host presents another key than the one known"
    status = 409
    retryable = False
    default_remedy = (
        "Look up the key on the host itself ('ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub'). If it is the one "
        "presented, because the host was installed anew, prepare it again with the file of that key ('carina host "
        "prepare NAME --host-key FILE'); if not, something stands between."
    )


class HostAccessDenied(StepFailed):
    """The host lets Carina not in, or not work as root."""

    code = "host-access-denied"
    title = "The host does not let Carina work on it"
    status = 502
    retryable = False
    default_remedy = "Give Carina's key access to the host, as root or as a user with sudo without a password."


class HostInUse(Conflict):
    """The host carries nodes."""

    code = "host-in-use"
    title = "The host carries nodes"
    default_remedy = "Drain it first ('carina host drain NAME'), or remove it with --force if it is dead for good."


class HostBusy(Conflict):
    """Another operation is about the host."""

    code = "host-busy"
    title = "The host is being changed"
    default_remedy = "Wait for the operation named to end."


class HostKeyUnconfirmed(Conflict):
    """Nobody has said yet that the key which the host presents is its own: `host_key` has it, as in known_hosts(5)."""

    code = "host-key-unconfirmed"
    title = "The host's key is to be confirmed"
    default_remedy = (
        "Compare the fingerprint with what the host itself says ('ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub'); "
        "if it is the same, send the request again with host_key."
    )

    def __init__(
        self, detail: str, *, host_key: str = "", field: str | None = "host_key", remedy: str | None = None
    ) -> None:
        super().__init__(detail, field=field, remedy=remedy)
        self.host_key = host_key

    @property
    def extra(self) -> Mapping[str, str]:
        """The key that was presented."""
        return {"host_key": self.host_key}


class PortTaken(Conflict):
    """The port is published already."""

    code = "port-taken"
    title = "The port is taken"
    default_remedy = "Choose another port, or withdraw what has it."


class ManagerLost(StepFailed):
    """The host that a cluster's manager was on is gone for good."""

    code = "manager-lost"
    title = "The cluster lost its manager"
    retryable = False
    default_remedy = "Delete the cluster and create it again; what runs on its other nodes goes on until then."


class SegmentBroken(StepFailed):
    """The cluster's network does not carry packets between two of its hosts."""

    code = "segment-broken"
    title = "The cluster's network does not join its hosts"
    default_remedy = (
        "Let UDP port 4789, and WireGuard's where it is used, pass between the hosts named, in packets as large as "
        "their MTU; 'carina host get' shows it."
    )


class HostNotReady(StepFailed):
    """The host is not prepared, or can't do what is asked."""

    code = "host-not-ready"
    title = "The host is not ready"
    default_remedy = (
        "'carina host doctor NAME' says what is missing on a host, and what mends it; 'carinad doctor' does on the "
        "service's own machine."
    )


class PoolNotMounted(HostNotReady):
    """The host has a storage pool that is not mounted: it came back from a reboot without what it carried."""

    code = "pool-not-mounted"
    title = "The host's storage pool is not mounted"
    default_remedy = (
        "Carina prepares the host anew once it sees that, which mounts the pool and starts the nodes; "
        "'carina host prepare NAME' does so at once."
    )


class ImageUnavailable(StepFailed):
    """The node image is not on the host."""

    code = "image-unavailable"
    title = "The node image is not there"
    retryable = False
    default_remedy = "'carina host prepare NAME' brings the image to the host, and builds it if it has to."


class ReleaseUnavailable(StepFailed):
    """A release could not be had, whole and true, from any of its sources."""

    code = "release-unavailable"
    title = "The release could not be added"
    retryable = False
    default_remedy = "Name a file or directory that has it: 'carinad release add NAME VERSION --from PATH'."


class DiskFull(StepFailed):
    """The host's storage pool has no room left."""

    code = "disk-full"
    title = "The host's storage pool is full"
    retryable = False
    default_remedy = "Delete clusters or enlarge the pool, then try again."


class NoAddressLeft(StepFailed):
    """No subnet or address is free."""

    code = "no-address-left"
    title = "No address is left"
    retryable = False
    default_remedy = "Delete clusters, or give Carina a larger node network."


class NoRoom(StepFailed):
    """No host has room for the nodes asked for."""

    code = "no-room"
    title = "No host has room for the nodes"
    retryable = False
    default_remedy = "Ask for fewer nodes, delete clusters, or add a host."


class NodeNotStarted(StepFailed):
    """A node's container did not start."""

    code = "node-not-started"
    title = "A node did not start"
    default_remedy = "Read the detail, the end of its log; 'carina host doctor NAME' has what containers need."


class DockerSilent(StepFailed):
    """A node runs but its Docker Engine, or the containerd of a Kubernetes node, does not answer."""

    code = "docker-silent"
    title = "The container engine of a node never answered"
    default_remedy = (
        "Create with ?retain=true and look at the journal of docker.service or containerd.service in the node."
    )


class SwarmFailed(StepFailed):
    """Docker refused a change to the swarm."""

    code = "swarm-failed"
    title = "Docker refused a change to the swarm"


class KubernetesFailed(StepFailed):
    """A part of a Kubernetes cluster did not come up, or refused a change."""

    code = "kubernetes-failed"
    title = "Kubernetes did not do what was asked"
    default_remedy = "Create with ?retain=true and look at the journals of kubelet and kube-apiserver in the node."


class OverlayFailed(StepFailed):
    """An overlay network could not be made or removed."""

    code = "overlay-failed"
    title = "An overlay network could not be changed"
    default_remedy = "Detach the containers that use the overlay network, then try again."


class OverlayUnreachable(StepFailed):
    """Containers on different nodes don't reach each other."""

    code = "overlay-unreachable"
    title = "Containers on different nodes don't reach each other"
    default_remedy = "Check that UDP 4789 and TCP/UDP 7946 pass between the nodes, and the MTU of the hosts' network."


class EncryptionUnsupported(StepFailed):
    """The host's kernel has no ESP, so an encrypted overlay would drop all its traffic in silence."""

    code = "encryption-unsupported"
    title = "Encrypted overlays don't work on this host"
    status = 409
    retryable = False
    default_remedy = "Create the overlay without 'encrypted', or load the kernel's ESP modules (esp4, xfrm_user)."


class PolicyNotEnforced(StepFailed):
    """Nothing in the cluster enforces network policies, so an isolated namespace would not be isolated."""

    code = "policy-not-enforced"
    title = "Nothing enforces network policies in this cluster"
    status = 409
    retryable = False
    default_remedy = (
        "Install an enforcer of NetworkPolicy, such as kube-router's firewall beside flannel, "
        "or Calico or Cilium in a cluster made with the network 'none'; then try again."
    )


class ImageLoadFailed(StepFailed):
    """A node did not take a container image."""

    code = "image-load-failed"
    title = "A node did not take the image"
    default_remedy = (
        "Check that the archive loads elsewhere ('docker load'), and that the node has room; then try again."
    )


class SecretUnreadable(CarinaError):  # noqa: N818
    """A sealed secret was sealed under another key or for another place, or was altered."""

    code = "secret-unreadable"
    title = "A stored secret can't be opened"
    retryable = False
    default_remedy = "Restore the vault's key that was in Carina's home when the cluster was made."


class OperationLost(CarinaError):  # noqa: N818
    """The workflow of an operation ended without a word, for example by being terminated by hand."""

    code = "operation-lost"
    title = "The operation's workflow ended without a result"
    retryable = False
    default_remedy = "Look at the workflow in the Temporal UI; then delete the cluster or try the change again."


class OperationCancelled(CarinaError):  # noqa: N818
    """The operation was cancelled on request and undone."""

    code = "operation-cancelled"
    title = "The operation was cancelled"
    status = 409
    retryable = False
    default_remedy = "Start it again if it is still wanted."
