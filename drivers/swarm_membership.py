"""Membership of nodes in a swarm: form, join, drain, leave, and who is well.

All functions block. Each looks first at what there is, so that it can be called again after it was cut short.
"""

from collections.abc import Mapping
from typing import Any

from docker import APIClient
from docker.errors import APIError
from requests import RequestException

from domain.errors import SwarmFailed
from domain.nodes import Member
from domain.overlays import SWARM_POOL
from drivers.docker_client import Engines
from drivers.swarm_gossip import await_gossip, await_silence
from drivers.until import until

SWARM_PORT = 2377
_READY_TIMEOUT_S = 20.0
_DRAIN_TIMEOUT_S = 30.0
_POOL_SUBNET_PREFIX = 24
_NOT_IN_A_SWARM = 503
_NOT_FOUND = 404
_OUT_OF_SEQUENCE = "update out of sequence"
_ENDED_TASKS = frozenset({"complete", "shutdown", "failed", "rejected", "remove", "orphaned"})

Entry = Mapping[str, Any]
"""A node as `GET /nodes` describes it."""


def form(engines: Engines, manager: Member) -> None:
    """Make `manager` the first member of a swarm, unless it manages one already."""
    engine = engines.at(manager)
    state = _swarm_state(engine)
    if state["LocalNodeState"] == "active" and state["ControlAvailable"]:
        return
    if state["LocalNodeState"] != "inactive":
        engine.leave_swarm(force=True)
    await_silence(manager)
    engine.init_swarm(
        advertise_addr=manager.address,
        listen_addr=f"{manager.address}:{SWARM_PORT}",
        data_path_addr=manager.address,
        default_addr_pool=[str(SWARM_POOL)],
        subnet_size=_POOL_SUBNET_PREFIX,
    )


def join(engines: Engines, manager: Member, node: Member) -> None:
    """Make `node` a member of the manager's swarm, listed there once; raise `SwarmFailed` if it isn't ready soon."""
    managing, joining = engines.at(manager), engines.at(node)
    state = _swarm_state(joining)
    entries = managing.nodes()
    mine = state["NodeID"] if state["LocalNodeState"] == "active" else ""
    if mine not in {entry["ID"] for entry in entries}:
        if state["LocalNodeState"] != "inactive":
            joining.leave_swarm(force=True)
        mine = ""
    for entry in entries:
        if _is(entry, node) and entry["ID"] != mine:
            _remove(managing, entry)
    if not mine:
        await_silence(node)
        await_gossip(managing, manager)
        joining.join_swarm(
            remote_addrs=[f"{manager.address}:{SWARM_PORT}"],
            join_token=managing.inspect_swarm()["JoinTokens"]["Worker"],
            listen_addr=f"{node.address}:{SWARM_PORT}",
            advertise_addr=node.address,
            data_path_addr=node.address,
        )
        mine = _swarm_state(joining)["NodeID"]
    if not until(lambda: _is_ready(managing.inspect_node(mine)), _READY_TIMEOUT_S):
        raise SwarmFailed(f"{node.name} joined the swarm, but was not ready {_READY_TIMEOUT_S:.0f} s later.")


def drain(engines: Engines, manager: Member, node: Member) -> None:
    """Let the swarm move its tasks off `node`, and wait for that within a bound. Containers of people stay."""
    managing = engines.at(manager)
    entries = [entry for entry in managing.nodes() if _is(entry, node)]
    for entry in entries:
        _set_availability(managing, entry["ID"], "drain")
    alive = [entry["ID"] for entry in entries if _is_ready(entry)]
    until(lambda: not any(_has_tasks(managing, node_id) for node_id in alive), _DRAIN_TIMEOUT_S)


def undrain(engines: Engines, manager: Member, node: Member) -> None:
    """Let the swarm give `node` tasks again. It does not move back what it moved away."""
    managing = engines.at(manager)
    for entry in managing.nodes():
        if _is(entry, node):
            _set_availability(managing, entry["ID"], "active")


def leave(engines: Engines, manager: Member, node: Member) -> None:
    """End the membership of `node`. A node that does not answer is only struck off the manager's list."""
    try:
        engines.at(node).leave_swarm(force=True)
    except APIError as error:
        if error.status_code != _NOT_IN_A_SWARM:
            raise
    except RequestException:  # it is gone or dead: what counts is the manager's list
        pass
    managing = engines.at(manager)
    for entry in managing.nodes():
        if _is(entry, node):
            _remove(managing, entry)


def health(engines: Engines, manager: Member) -> Mapping[str, bool]:
    """Return, by host name, whether the swarm holds the node for ready. Of several entries, one ready suffices."""
    ready: dict[str, bool] = {}
    for entry in engines.at(manager).nodes():
        name = _hostname(entry)
        if name:
            ready[name] = ready.get(name, False) or _is_ready(entry)
    return ready


def _swarm_state(engine: APIClient) -> Mapping[str, Any]:
    state: Mapping[str, Any] = engine.info()["Swarm"]
    return state


def _hostname(entry: Entry) -> str:
    return str(entry.get("Description", {}).get("Hostname", ""))


def _is(entry: Entry, node: Member) -> bool:
    """Whether the manager's entry is of this node. A join that was cut short leaves an entry without a host name."""
    name = _hostname(entry)
    return name == node.name if name else entry["Status"].get("Addr") == node.address


def _is_ready(entry: Entry) -> bool:
    return bool(entry["Status"].get("State") == "ready")


def _remove(managing: APIClient, entry: Entry) -> None:
    try:
        managing.remove_node(entry["ID"], force=True)
    except APIError as error:
        if error.status_code != _NOT_FOUND:
            raise


def _set_availability(managing: APIClient, node_id: str, availability: str) -> None:
    """Set it on the newest version of the node's entry: the swarm changes that, too."""

    def attempt() -> bool:
        entry = managing.inspect_node(node_id)
        if entry["Spec"].get("Availability") == availability:
            return True
        try:
            managing.update_node(node_id, entry["Version"]["Index"], entry["Spec"] | {"Availability": availability})
        except APIError as error:
            if _OUT_OF_SEQUENCE not in str(error.explanation):
                raise
            return False
        return True

    if not until(attempt, _READY_TIMEOUT_S):
        raise SwarmFailed(f"The swarm's entry of node {node_id} kept changing; it could not be set to {availability}.")


def _has_tasks(managing: APIClient, node_id: str) -> bool:
    tasks = managing.tasks(filters={"node": node_id})
    return any(task.get("ServiceID") and task["Status"]["State"] not in _ENDED_TASKS for task in tasks)
