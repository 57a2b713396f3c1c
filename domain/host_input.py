"""What an operator says of a host, checked: each error names the field, and what to send instead."""

import base64
import binascii
import hashlib
import ipaddress
import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from domain.errors import InvalidInput
from domain.hosts import LOCAL, Endpoint, Host, Login
from domain.publications import check_port

SSH_PORT = 22
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # RFC 1123, section 2.1
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")  # useradd(8), with the capitals and dots of directories
_DEVICE = re.compile(r"/dev(?:/[A-Za-z0-9_.:+=@-]+)+")
_KEY_TYPE = re.compile(r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521))")
_MAX_DNS_CHARS = 253
_MAX_PATH_CHARS = 1024
_MAX_KEY_CHARS = 8192
_LENGTH_BYTES = 4  # before each string in a key's blob (RFC 4251, section 5)


@dataclass(frozen=True, slots=True)
class AskedHost:
    """A host as it is asked for. Empty are: an identity of the service's own, no device, an address to be found out."""

    name: str
    address: str
    user: str = "root"
    port: int = SSH_PORT
    identity: str = ""
    host_key: str = ""
    zone: str = ""
    endpoint: str = Endpoint.PUBLISHED
    device: str = ""
    fabric_address: str = ""

    def host(self, host_id: str, root: str) -> Host:
        """Return the host with that id, which keeps what the instance has on it at `root`."""
        return Host(
            id=host_id,
            name=self.name,
            address=self.address,
            root=root,
            login=Login(self.user, self.port, self.identity, self.host_key),
            zone=self.zone,
            endpoint=Endpoint(self.endpoint),
            fabric_address=self.fabric_address,
            fabric_address_given=bool(self.fabric_address),
            device=self.device,
        )


def check_host(asked: AskedHost) -> AskedHost:
    """Return what was asked for in its one spelling, else raise `InvalidInput`. A host key may be missing."""
    return replace(
        asked,
        name=check_host_name(asked.name),
        address=check_address(asked.address),
        user=check_user(asked.user),
        port=check_port(asked.port, field="port"),
        identity=check_identity(asked.identity),
        host_key=check_host_key(asked.host_key) if asked.host_key else "",
        zone=check_zone(asked.zone),
        endpoint=check_endpoint(asked.endpoint),
        device=check_device(asked.device),
        fabric_address=check_fabric_address(asked.fabric_address),
    )


def check_host_name(name: str, *, field: str = "name") -> str:
    """Return `name` if it can name a host, else raise `InvalidInput`."""
    if not _LABEL.fullmatch(name):
        raise InvalidInput(
            f"{_shown(name)} can't name a host.",
            field=field,
            remedy="Use 1 to 63 letters, digits and inner hyphens (RFC 1123).",
        )
    return name


def check_address(address: str, *, field: str = "address") -> str:
    """Return an IPv4 or IPv6 address, or a DNS name, in its one spelling, else raise `InvalidInput`."""
    name = address.removesuffix(".").lower()
    try:
        found = ipaddress.ip_address(address.replace("%", " "))  # an interface's name means something here only
    except ValueError:
        found = None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if name in {LOCAL, "localhost"} or (found is not None and found.is_loopback):
        raise InvalidInput(
            f"{_shown(address)} is the machine that Carina runs on, which is a host already.",
            field=field,
            remedy="Send another machine's IP address or DNS name.",
        )
    if found is not None and (found.is_unspecified or found.is_multicast):
        raise InvalidInput(
            f"{_shown(address)} is no machine's address.", field=field, remedy="Send the IP address of one machine."
        )
    if found is not None:
        return str(found)
    labels = name.split(".")
    if len(name) > _MAX_DNS_CHARS or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidInput(
            f"{_shown(address)} is neither an IP address nor a DNS name.",
            field=field,
            remedy="Send what 'ssh' would take, such as 192.0.2.7 or rack1.example.org, without user and port.",
        )
    return name


def check_user(user: str, *, field: str = "user") -> str:
    """Return the name of a user who can log in, else raise `InvalidInput`."""
    if not _USER.fullmatch(user):
        raise InvalidInput(
            f"{_shown(user)} is no user's name.",
            field=field,
            remedy="Send the name of root, or of a user who may use sudo without a password.",
        )
    return user


def check_identity(path: str, *, field: str = "identity") -> str:
    """Return the path of a private key, or an empty one, else raise `InvalidInput`. The file is not looked at."""
    if path and not _is_absolute(path):
        raise InvalidInput(
            f"{_shown(path)} is no absolute path.",
            field=field,
            remedy="Send the whole path of a private key on the service's machine, such as /root/.ssh/id_ed25519.",
        )
    return path


def check_host_key(line: str, *, field: str = "host_key") -> str:
    """Return a host's public key as its type and base64, else raise `InvalidInput`. A comment behind it is dropped.

    The blob repeats the type (RFC 4253, section 6.6), so that a line that was cut or mixed up is noticed.
    """
    words = line.split() if len(line) <= _MAX_KEY_CHARS else []
    if len(words) < 2 or not _KEY_TYPE.fullmatch(words[0]) or _type_in(words[1]) != words[0]:  # noqa: PLR2004 - a pair
        raise InvalidInput(
            "That is no public key of a host.",
            field=field,
            remedy="Send a line of the host's /etc/ssh/ssh_host_ed25519_key.pub: its type, a space, its base64.",
        )
    return f"{words[0]} {words[1]}"


def fingerprint(host_key: str) -> str:
    """Return the fingerprint of a checked key as 'ssh-keygen -l' writes it; that of no key is empty."""
    if not host_key:
        return ""
    blob = base64.b64decode(host_key.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def check_zone(zone: str, *, field: str = "zone") -> str:
    """Return the name of a zone, or an empty one, else raise `InvalidInput`."""
    if zone and not _LABEL.fullmatch(zone):
        raise InvalidInput(
            f"{_shown(zone)} can't name a zone.",
            field=field,
            remedy="Use 1 to 63 letters, digits and inner hyphens, or leave it out.",
        )
    return zone


def check_endpoint(endpoint: str, *, field: str = "endpoint") -> str:
    """Return how nodes on a host are reached, else raise `InvalidInput`."""
    if endpoint not in set(Endpoint):
        raise InvalidInput(
            f"{_shown(endpoint)} is no way to reach nodes.",
            field=field,
            remedy="Send 'published' (at ports of the host), or 'direct' where there is a route to the nodes.",
        )
    return endpoint


def check_device(device: str, *, field: str = "device") -> str:
    """Return the path of a block device, or an empty one, else raise `InvalidInput`."""
    if device and not (_DEVICE.fullmatch(device) and _is_absolute(device)):
        raise InvalidInput(
            f"{_shown(device)} is no path of a device.",
            field=field,
            remedy="Send the path of a spare block device on the host, such as /dev/sdb; all that is on it is lost.",
        )
    return device


def check_fabric_address(address: str, *, field: str = "fabric_address") -> str:
    """Return an IPv4 address at which other hosts reach a host, or an empty one, else raise `InvalidInput`."""
    if not address:
        return ""
    try:
        found = ipaddress.IPv4Address(address)
    except ValueError:
        found = ipaddress.IPv4Address(0)
    if found.is_unspecified or found.is_loopback or found.is_multicast or found.is_reserved:
        raise InvalidInput(
            f"{_shown(address)} is no IPv4 address of a machine.",
            field=field,
            remedy="Send the IPv4 address at which the other hosts reach this one, or leave it out to find it out.",
        )
    return str(found)


def _is_absolute(path: str) -> bool:
    plain = path.isprintable() and len(path) <= _MAX_PATH_CHARS
    return plain and path.startswith("/") and ".." not in PurePosixPath(path).parts


def _type_in(encoded: str) -> str:
    """Return the type that a key's blob says it is of; an empty one where it is no whole blob.

    A blob is a row of strings, each behind its length (RFC 4251, section 5): the type, then the numbers of the key.
    """
    try:
        blob = base64.b64decode(encoded, validate=True)
        strings = []
        while blob:
            end = _LENGTH_BYTES + int.from_bytes(blob[:_LENGTH_BYTES], "big")
            if len(blob) < max(end, _LENGTH_BYTES):
                return ""
            strings.append(blob[_LENGTH_BYTES:end])
            blob = blob[end:]
        return strings[0].decode("ascii") if len(strings) > 1 else ""
    except (binascii.Error, ValueError):
        return ""


def _shown(value: str) -> str:
    """Return what was sent, cut, as it stands in an error."""
    return repr(value if len(value) <= _MAX_DNS_CHARS else f"{value[:_MAX_DNS_CHARS]}...")
