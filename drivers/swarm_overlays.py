"""Overlay networks of a swarm. All functions block."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from docker import APIClient
from docker.errors import APIError
from docker.types import IPAMConfig, IPAMPool
from requests import RequestException

from domain.errors import OverlayFailed
from domain.nodes import Member, manager_of
from domain.overlays import Overlay
from drivers.docker_client import Engines
from drivers.swarm_probe import LABEL as PROBE_LABEL
from drivers.swarm_probe import clear

LABEL = "io.carina.overlay"
_MTU = "com.docker.network.driver.mtu"
_POLL_S = 0.02
_REMOVE_TIMEOUT_S = 10.0
_ALLOCATE_TIMEOUT_S = 10.0
_NOT_FOUND = 404
_CONFLICT = 409
_OF_OTHERS = {"com.docker.swarm.service.name", PROBE_LABEL}
"""Labels of containers that a service answers for, or that are about to go by themselves."""

Network = Mapping[str, Any]
"""A network as `GET /networks` describes it."""


def ensure_overlay(engines: Engines, members: Sequence[Member], overlay: Overlay) -> None:
    """Make the network unless it is there as described. One of ours that differs is made anew if nothing uses it."""
    engine = engines.at(manager_of(members))
    if (network := _find(engine, overlay.name)) is not None:
        if not _is_ours(network):
            raise OverlayFailed(
                f"The swarm has a network {overlay.name} that Carina did not make.",
                remedy="Choose another name, or remove that network with 'docker network rm'.",
            )
        if _describe(_allocated(engine, network)) == _wanted(overlay):
            return
        remove_overlay(engines, members, overlay.name)
    try:
        engine.create_network(
            overlay.name,
            driver="overlay",
            options={_MTU: str(overlay.mtu)} | ({"encrypted": ""} if overlay.encrypted else {}),
            ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=overlay.subnet)]),
            labels={LABEL: overlay.name},
            attachable=overlay.attachable,
            scope="swarm",
        )
    except APIError as error:
        if error.status_code != _CONFLICT:
            raise
    made = _find(engine, overlay.name)
    if made is None or _describe(_allocated(engine, made)) != _wanted(overlay):
        raise OverlayFailed(f"The overlay network {overlay.name} was made otherwise at the same time.")


def remove_overlay(engines: Engines, members: Sequence[Member], name: str) -> None:
    """Remove the network, and return when it is gone. One that Carina did not make is left alone.

    Docker lets go of a network a moment after the last container on it has gone, so a refusal counts only if a
    container is really there, or if it lasts.
    """
    engine = engines.at(manager_of(members))
    deadline = time.monotonic() + _REMOVE_TIMEOUT_S
    while (network := _find(engine, name)) is not None and _is_ours(network):
        try:
            engine.remove_network(network["Id"])
        except APIError as error:
            if error.status_code == _NOT_FOUND:
                continue
            users = _users(engines, engine, members, network["Id"])
            if users:
                raise OverlayFailed(f"{name} is in use by {', '.join(users)}.") from None
            if time.monotonic() > deadline:
                raise
            _clear_probes(engines, members)
        time.sleep(_POLL_S)


def _clear_probes(engines: Engines, members: Sequence[Member]) -> None:
    """Remove what lingers after a proof. Nodes that are silent are passed over: theirs are gone with them."""
    for member in members:
        with contextlib.suppress(APIError, RequestException):
            clear(engines.at(member))


def _find(engine: APIClient, name: str) -> Network | None:
    networks: Sequence[Network] = engine.networks(names=[name], filters={"scope": "swarm"})
    return next((network for network in networks if network["Name"] == name), None)


def _allocated(engine: APIClient, network: Network) -> Network:
    """Return the network once the swarm has given it its subnet: before that, its description is empty."""
    deadline = time.monotonic() + _ALLOCATE_TIMEOUT_S
    found: Network | None = network
    while found is not None and not found["IPAM"]["Config"]:
        if time.monotonic() > deadline:
            raise OverlayFailed(
                f"The swarm gave the overlay network {network['Name']} no subnet. Another network may have it.",
                remedy="Remove the overlay network, and choose another subnet.",
            )
        time.sleep(_POLL_S)
        found = _find(engine, network["Name"])
    return found or network


def _is_ours(network: Network) -> bool:
    return LABEL in (network.get("Labels") or {})


def _wanted(overlay: Overlay) -> tuple[object, ...]:
    return ("overlay", overlay.attachable, str(overlay.mtu), overlay.encrypted, [overlay.subnet])


def _describe(network: Network) -> tuple[object, ...]:
    options = network.get("Options") or {}
    subnets = [config["Subnet"] for config in network["IPAM"]["Config"] or ()]
    return (network["Driver"], network["Attachable"], options.get(_MTU), "encrypted" in options, subnets)


def _users(engines: Engines, engine: APIClient, members: Sequence[Member], network_id: str) -> list[str]:
    """Return who uses the network: services, and containers with the node they run on. Silent nodes are passed over."""
    services = [
        f"service {service['Spec']['Name']}" for service in engine.services() if network_id in _networks_of(service)
    ]
    containers = []
    for member in members:
        try:
            found = engines.at(member).containers(all=True, filters={"network": network_id})
        except (APIError, RequestException):  # a dead node can't say; what the others say is worth it
            continue
        containers += [
            f"container {item['Names'][0].lstrip('/')} on {member.name}"
            for item in found
            if not _OF_OTHERS & (item.get("Labels") or {}).keys()
        ]
    return services + containers


def _networks_of(service: Mapping[str, Any]) -> set[str]:
    return {item["Target"] for item in service["Spec"]["TaskTemplate"].get("Networks") or ()}
