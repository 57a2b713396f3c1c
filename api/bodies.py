"""What is sent: the contract's fields, and ours beside them."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from pydantic.json_schema import WithJsonSchema

from domain.options import AskedOptions

_MAX_TYPE_DIGITS = 9


def _type_id(value: object) -> int:
    """Take a cluster type's id as clients send it: a number, or a number in quotes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_TYPE_DIGITS:
        return int(value)
    raise ValueError("a cluster type's id is a whole number, such as 22")


TypeId = Annotated[
    int,
    BeforeValidator(_type_id),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9]+$"}]}),
]


class OptionsIn(BaseModel):
    """What may be chosen for a cluster, once and for all. Here, fields that are not known are refused.

    `network` is "flannel" or "none"; subnets are IPv4 networks like 10.244.0.0/16, of which the pods' and services'
    are for Kubernetes only, and `node_subnet` is a /24 of the instance's node network. `registry_mirrors` are URLs by
    registry, `insecure_registries` are spoken to without TLS. `hosts` are the names of the only hosts that may carry
    nodes, `not_hosts` of those that may not.
    """

    model_config = ConfigDict(extra="forbid")

    network: StrictStr | None = None
    pod_subnet: StrictStr | None = None
    service_subnet: StrictStr | None = None
    node_subnet: StrictStr | None = None
    registry_mirrors: dict[StrictStr, StrictStr] | None = None
    insecure_registries: list[StrictStr] | None = None
    hosts: list[StrictStr] | None = None
    not_hosts: list[StrictStr] | None = None

    def asked(self) -> AskedOptions:
        """Return what is asked for in the domain's words."""
        return AskedOptions(
            network=self.network,
            pod_subnet=self.pod_subnet,
            service_subnet=self.service_subnet,
            node_subnet=self.node_subnet,
            registry_mirrors=self.registry_mirrors,
            insecure_registries=self.insecure_registries or (),
            hosts=self.hosts or (),
            not_hosts=self.not_hosts or (),
        )


class CreateClusterIn(BaseModel):
    """A cluster to be made. Fields that are not known are ignored, but for those of `options`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "demo", "cluster_type_id": 22, "node_count": 3}]}
    )

    name: StrictStr = Field(description="Letters, digits and inner hyphens; unique without regard to case.")
    cluster_type_id: TypeId
    node_count: StrictInt = 1
    options: OptionsIn | None = None


class ResizeIn(BaseModel):
    """How many nodes a cluster is to have."""

    node_count: StrictInt


class TaskIn(BaseModel):
    """A change to a cluster."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "resize", "input": {"node_count": 3}}]})

    type: Literal["resize"]
    input: ResizeIn


class CreateOverlayIn(BaseModel):
    """An overlay network to be made. Without `subnet`, Carina chooses one; it is attachable unless that is false.

    On Kubernetes it is a namespace, closed but for its `services`, each name:port: pods with the label app=name.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "back", "subnet": "10.48.7.0/24"}]})

    name: StrictStr
    subnet: StrictStr | None = None
    attachable: StrictBool | None = None
    encrypted: StrictBool | None = None
    services: list[StrictStr] | None = None
