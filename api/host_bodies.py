"""What is sent of hosts and of published ports. Here, fields that are not known are refused."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from domain.host_input import SSH_PORT, AskedHost
from domain.publications import Protocol


class HostIn(BaseModel):
    """A machine that is to carry nodes.

    `address` is an IP address or a DNS name, at which the SSH server listens on `port`; `user` is root, or one who may
    use sudo without a password. `identity` is the path of a private key on the service's machine; without it, the
    service's own is used, or an agent's. `host_key` is the machine's public key, as its type and base64. `zone` says
    what it shares a fate with. `endpoint` is "published" (nodes are reached at ports of the machine) or "direct"
    (there is a route to them). `device` is a spare, empty block device for the storage pool;
    `fabric_address` is the IPv4 address at which other hosts reach it, found out if it is left out.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "rack1", "address": "192.0.2.7", "zone": "row-a"}]},
    )

    name: StrictStr = Field(description="Letters, digits and inner hyphens; unique without regard to case.")
    address: StrictStr
    user: StrictStr | None = None
    port: StrictInt | None = None
    identity: StrictStr | None = None
    host_key: StrictStr | None = None
    zone: StrictStr | None = None
    endpoint: StrictStr | None = None
    device: StrictStr | None = None
    fabric_address: StrictStr | None = None

    def asked(self) -> AskedHost:
        """Return what is asked for in the domain's words."""
        return AskedHost(
            name=self.name,
            address=self.address,
            user="root" if self.user is None else self.user,
            port=SSH_PORT if self.port is None else self.port,
            identity=self.identity or "",
            host_key=self.host_key or "",
            zone=self.zone or "",
            endpoint="published" if self.endpoint is None else self.endpoint,
            device=self.device or "",
            fabric_address=self.fabric_address or "",
        )


class HostTaskInput(BaseModel):
    """How a host is changed.

    Only a removal can be forced. `host_key` is for `prepare`: the public key that a host which was installed anew has
    now, as its type and base64.
    """

    model_config = ConfigDict(extra="forbid")

    force: StrictBool = False
    host_key: StrictStr | None = None


class HostTaskIn(BaseModel):
    """A change to a host."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"type": "drain"}]})

    type: Literal["cordon", "uncordon", "drain", "prepare", "remove"]
    input: HostTaskInput = HostTaskInput()


class PublicationIn(BaseModel):
    """A port of the cluster's hosts, and the port of its nodes that it is to lead to."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"host_port": 80, "node_port": 30080, "protocol": "tcp"}]},
    )

    host_port: StrictInt
    node_port: StrictInt
    protocol: Protocol = Protocol.TCP
