"""Containers that an engine could not start again when it came back, because its swarm was not back yet. Blocks.

When an engine starts (Docker 26.1), it starts the containers on overlay networks that are to be started again once, and
gives each 20 seconds to be attached to its network. The first exchange of gossip may take 30, and then the container
stays as it is, whatever its restart policy says.
"""

from collections.abc import Sequence

from domain.nodes import Member
from drivers.docker_client import Engines

_POLICIES = frozenset({"always", "unless-stopped"})
_NOT_ATTACHED = ("attaching to network failed", "Could not attach to network")


def start_unattached(engines: Engines, member: Member) -> Sequence[str]:
    """Start such containers on the member, and return their names."""
    engine = engines.at(member)
    stopped = engine.containers(all=True, filters={"status": "exited"})
    found = [engine.inspect_container(container["Id"]) for container in stopped]
    lost = [container for container in found if _is_lost(container)]
    for container in lost:
        engine.start(container["Id"])
    return [container["Name"].removeprefix("/") for container in lost]


def _is_lost(container: dict[str, dict[str, dict[str, str]]]) -> bool:
    policy = container["HostConfig"]["RestartPolicy"]["Name"]
    return policy in _POLICIES and str(container["State"]["Error"]).startswith(_NOT_ATTACHED)
