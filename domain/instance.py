"""Names that tell one instance of Carina from another on the same machine."""

import re
from dataclasses import dataclass

PREFIX = re.compile(r"^[a-z][a-z0-9]{3}$")
_INTERFACE_NAME_MAX = 15  # IFNAMSIZ - 1, see netdevice(7)
_HOSTNAME_MAX = 63  # RFC 1123


@dataclass(frozen=True, slots=True)
class Instance:
    """One installation of Carina. All that it makes on a host carries `prefix`: a letter, then three of a-z0-9."""

    prefix: str

    def __post_init__(self) -> None:
        if not PREFIX.fullmatch(self.prefix):
            message = f"an instance prefix is a letter and three of a-z0-9, not {self.prefix!r}"
            raise ValueError(message)

    def bridge(self, slot: int) -> str:
        """Return the name of the bridge of the cluster in `slot`, the same on each host."""
        name = f"{self.prefix}-br{slot}"
        if len(name) > _INTERFACE_NAME_MAX:
            message = f"slot {slot} makes too long an interface name"
            raise ValueError(message)
        return name

    def veth(self, slot: int, index: int) -> str:
        """Return the name of the host's end of a node's network interface."""
        return f"{self.prefix}-{slot:x}n{index:x}"

    def container(self, cluster_name: str, index: int, node_id: str) -> str:
        """Return the name of a node's container: prefix, cluster, number, and the id's tail against namesakes."""
        tail = node_id.replace("-", "")[-6:]
        room = _HOSTNAME_MAX - len(f"{self.prefix}--{index}-{tail}")
        return f"{self.prefix}-{cluster_name[:room].strip('-')}-{index}-{tail}"

    @property
    def nft_table(self) -> str:
        """The name of the instance's nftables table, in the family inet."""
        return f"carina_{self.prefix}"
