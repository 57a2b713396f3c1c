"""The gossip by which a swarm's engines tell each other who is there, and who is on which network. Blocks.

An engine that joins asks the manager who is there; of those that join at the same moment it hears by gossip, each word
of which is sent to a few engines chosen at random. In a swarm of more than four, now and then one misses a word, and
hears it at the next full exchange, which engines have every 30 seconds. A container that is attached before that does
not know the containers of whom its engine does not know.
"""

import socket
import time
from collections.abc import Sequence
from concurrent.futures import Executor

import structlog
from docker import APIClient
from docker.errors import APIError, NotFound

from domain.errors import SwarmFailed
from domain.nodes import Member
from drivers.docker_client import Engines
from drivers.swarm_probe import in_parallel
from drivers.until import until

GOSSIP_PORT = 7946
_NETWORK_OF_ALL = "ingress"
_AMBIGUOUS = "is ambiguous"
_OPEN_TIMEOUT_S = 20.0
_CLOSE_TIMEOUT_S = 5.0
_REMOVED_AFTER_S = 3.0
_EXCHANGE_TIMEOUT_S = 75.0
_SLOW_S = 2.0
_log = structlog.get_logger()


def await_gossip(managing: APIClient, manager: Member) -> None:
    """Return once the manager takes part in the gossip, which begins a moment after the swarm is there.

    A worker that joins before that is refused, and tries again only a minute later. The manager is then among the
    peers on the network that all are on. People may remove that network, but not in the first moments of a swarm.
    """
    began = time.monotonic()

    def takes_part() -> bool:
        peers = _peers(managing)
        return time.monotonic() - began > _REMOVED_AFTER_S if peers is None else manager.address in peers

    if not until(takes_part, _OPEN_TIMEOUT_S):
        raise SwarmFailed(f"{manager.name} takes no part in the networks' gossip (port {GOSSIP_PORT}).")


def await_silence(node: Member) -> None:
    """Return once an engine that is in no swarm takes part in no gossip; raise `SwarmFailed` if it goes on.

    An engine that leaves while its peers vanish may go on in the former swarm's gossip (seen with Docker 26.1). It
    could join another, but would find none of its peers there. Nothing tells but the port; where that of a node is
    not reached from here, this returns at once.
    """
    if node.public is None and not until(lambda: not _listens(node.address, GOSSIP_PORT), _CLOSE_TIMEOUT_S):
        raise SwarmFailed(
            f"The engine of {node.name} left its former swarm but goes on in that one's gossip (port {GOSSIP_PORT}): "
            "it has to be restarted before it can be in another."
        )


def await_peers(engines: Engines, pool: Executor, members: Sequence[Member]) -> None:
    """Return once every member knows every other, or after the bound: then a proof of a network says what it means."""
    addresses = {member.address for member in members}
    began = time.monotonic()

    def knows_all(member: Member) -> bool:
        peers = _peers(engines.at(member))
        return peers is None or addresses <= peers

    known = until(lambda: all(in_parallel(pool, knows_all, members)), _EXCHANGE_TIMEOUT_S)
    took_s = round(time.monotonic() - began, 3)
    if took_s > _SLOW_S:
        _log.warning("swarm.gossip_was_slow", nodes=len(members), took_s=took_s, known=known)


def _peers(engine: APIClient) -> set[str] | None:
    """Return the addresses of whom an engine knows by gossip; None if the network that all are on is not there.

    An engine that was in another swarm has that one's network too, until it has made the new one: it knows nobody.
    """
    try:
        network = engine.inspect_network(_NETWORK_OF_ALL)
    except NotFound:  # not yet, or people removed it
        return None
    except APIError as error:
        if _AMBIGUOUS not in str(error.explanation):
            raise
        return set()
    return {peer["IP"] for peer in network.get("Peers") or ()}


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
