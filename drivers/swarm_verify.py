"""Proves an overlay network from inside: a container on each member asks those on all the others. Blocks.

The probes start in parallel. Each serves a file that is larger than several packets, and fetches it from every other:
that needs the name to be known, the address to answer, and full packets to pass. All are removed afterwards, and so are
those that a killed check left.

On an attachable network the probes are plain containers, which start fastest. After a proof nobody waits for their
removal: they are told to end, linger for some seconds, and their engines remove them. On one that is not, only tasks
of services can be: there the probes are a service with a task on each node.

Probes linger because of how engines leave networks (Docker 26.1). With its last container on a network an engine leaves
it, and with the next one comes back. Within a second of each other, the engines' gossip may get the two in the wrong
order: then no container finds the others' names until the next full exchange, up to a minute later. So the first
containers that people run after a proof meet engines that are still there; and a proof removes the probes of the one
before only once its own are up.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from time import monotonic, sleep
from typing import Any

from docker.errors import APIError

from domain.errors import OverlayFailed, OverlayUnreachable
from domain.nodes import Member, manager_of
from domain.overlays import Overlay
from drivers.docker_client import Engines, redacted
from drivers.swarm_gossip import await_peers
from drivers.swarm_probe import (
    BUSYBOX,
    DNS,
    IMAGE,
    IMAGE_TAG,
    LABEL,
    Probe,
    Times,
    clear,
    command,
    dismiss,
    ensure_image,
    everyone_in,
    import_image,
    in_parallel,
)

_POLL_S = 0.02
_PACKETS = 8
PATIENCE_S = 60.0
"""How long probes ask: by then engines that missed a word of the gossip have had two full exchanges to hear it."""
_PATIENCE_PER_MEMBER_S = 0.5
LINGER_S = 5.0
"""How long probes stay after a proof: whoever runs a first container after it has done so by then."""
_MARGIN_S = 15
_TASK_TIMEOUT_S = 60.0
_PARALLEL = 16
_NOT_FOUND = 404
_MEANINGS = {
    "packets": "it answers, but full packets get lost: the MTU on the way is smaller than the overlay's",
    "answer": "its name is known, but it does not answer",
    "name": "its name is not known",
}


def verify(
    engines: Engines,
    members: Sequence[Member],
    overlay: Overlay,
    first_patience_s: float = PATIENCE_S,
    linger_s: float = LINGER_S,
) -> None:
    """Check that probes on all members reach each other; raise `OverlayUnreachable` naming who does not reach whom.

    `first_patience_s` is how long probes ask before they give one up; the more members, the longer. `linger_s` is how
    long they stay once all have been reached.
    """
    times = Times(int(first_patience_s + _PATIENCE_PER_MEMBER_S * len(members)), int(linger_s))
    for member in members:
        engines.at(member)  # connections are made here: the threads only use them
    with ThreadPoolExecutor(min(len(members), _PARALLEL), thread_name_prefix="probe") as pool:
        await_peers(engines, pool, members)
        started: AbstractContextManager[Sequence[Probe]]
        started = (_containers if overlay.attachable else _tasks)(engines, pool, members, overlay, times)
        with started as probes:
            deadline = monotonic() + times.ask_s + _MARGIN_S
            outputs = list(pool.map(lambda probe: _output(probe, deadline), probes))
    lost = [line for probe, output in zip(probes, outputs, strict=True) for line in _lost(probe, output, probes)]
    if lost:
        raise OverlayUnreachable(f"On the overlay network {overlay.name}: {'; '.join(lost)}.")


@contextmanager
def _containers(
    engines: Engines, pool: ThreadPoolExecutor, members: Sequence[Member], overlay: Overlay, times: Times
) -> Iterator[Sequence[Probe]]:
    """Run plain containers as probes. Their names are new ones, so that nobody remembers an earlier probe's address."""
    token = secrets.token_hex(3)
    names = {member: f"probe-{token}-{number}" for number, member in enumerate(members)}
    probes = [Probe(member, engines.at(member), name, name) for member, name in names.items()]

    def start(member: Member) -> None:
        peers = [name for other, name in names.items() if other is not member] or [names[member]]
        _start_container(engines, member, names[member], _container(overlay, times, peers))

    def end(member: Member) -> None:
        dismiss(engines.at(member), names[member])
        clear(engines.at(member), but=names[member])

    try:
        in_parallel(pool, start, members)
        yield probes
        in_parallel(pool, end, members)
    except BaseException:
        in_parallel(pool, lambda member: clear(engines.at(member)), members)
        raise


def _start_container(engines: Engines, member: Member, name: str, config: Mapping[str, Any]) -> None:
    engine = engines.at(member)
    try:
        try:
            engine.create_container_from_config(config, name=name)
        except APIError as error:
            if error.status_code != _NOT_FOUND:
                raise
            import_image(engine)
            engine.create_container_from_config(config, name=name)
        engine.start(name)
    except APIError as error:
        reason = redacted(str(error.explanation))
        raise OverlayFailed(f"{member.name} could not start a container on the overlay network: {reason}") from None


def _container(overlay: Overlay, times: Times, peers: Sequence[str]) -> Mapping[str, Any]:
    return {
        "Image": f"{IMAGE}:{IMAGE_TAG}",
        "Entrypoint": command(packet_bytes=_PACKETS * overlay.mtu, times=times, peers=peers),
        "Cmd": [],
        "Labels": {LABEL: overlay.name},
        "HostConfig": {
            "AutoRemove": True,
            "Binds": [f"{BUSYBOX}:{BUSYBOX}:ro"],
            "Dns": [DNS],
            "LogConfig": {"Type": "json-file", "Config": {}},
            "NetworkMode": overlay.name,
            "Tmpfs": {"/probe": "size=4m"},
        },
        "NetworkingConfig": {"EndpointsConfig": {overlay.name: {}}},
    }


@contextmanager
def _tasks(
    engines: Engines, pool: ThreadPoolExecutor, members: Sequence[Member], overlay: Overlay, times: Times
) -> Iterator[Sequence[Probe]]:
    """Run a service's tasks as probes. Without virtual address, since that needs IPVS and hides who answers."""
    managing = engines.at(manager_of(members))
    name = f"probe-{secrets.token_hex(3)}"
    images = set(in_parallel(pool, lambda member: ensure_image(engines.at(member)), members))

    def tidy() -> None:
        for service in managing.services(filters={"label": LABEL}):
            managing.remove_service(service["ID"])
        in_parallel(pool, lambda member: clear(engines.at(member)), members)

    tidy()
    # By its id, where all have the same, Docker does not ask a registry for the image.
    image = images.pop() if len(images) == 1 else f"{IMAGE}:{IMAGE_TAG}"
    template = _task(overlay, image, times, everyone_in(name, len(members)))
    try:
        managing.create_service(
            template, name=name, labels={LABEL: overlay.name}, mode={"Global": {}}, endpoint_spec={"Mode": "dnsrr"}
        )
        deadline = monotonic() + _TASK_TIMEOUT_S
        yield in_parallel(pool, lambda member: _running_task(engines, member, overlay, deadline), members)
    finally:
        tidy()


def _task(overlay: Overlay, image: str, times: Times, peers: Sequence[str]) -> Mapping[str, Any]:
    return {
        "ContainerSpec": {
            "Image": image,
            "Command": command(packet_bytes=_PACKETS * overlay.mtu, times=times, peers=peers),
            "Labels": {LABEL: overlay.name},
            "DNSConfig": {"Nameservers": [DNS]},
            "Mounts": [
                {"Type": "bind", "Source": BUSYBOX, "Target": BUSYBOX, "ReadOnly": True},
                {"Type": "tmpfs", "Target": "/probe"},
            ],
        },
        "LogDriver": {"Name": "json-file"},
        "Networks": [{"Target": overlay.name}],
        "RestartPolicy": {"Condition": "none"},
    }


def _running_task(engines: Engines, member: Member, overlay: Overlay, deadline: float) -> Probe:
    engine = engines.at(member)
    while monotonic() < deadline:
        for found in engine.containers(filters={"label": LABEL}):
            address = found["NetworkSettings"]["Networks"].get(overlay.name, {}).get("IPAddress")
            if address:
                return Probe(member, engine, found["Id"], address)
        sleep(_POLL_S)
    raise OverlayFailed(f"No task of a service started on {member.name} on the overlay network {overlay.name}.")


def _output(probe: Probe, deadline: float) -> list[str]:
    """Return what the probe printed, once it has asked all the others."""
    lines: list[str] = []
    while monotonic() < deadline:
        lines = probe.engine.logs(probe.container).decode(errors="replace").split("\n")
        if "asked" in lines:
            return lines
        sleep(_POLL_S)
    raise OverlayFailed(f"The probe on {probe.member.name} did not end in time; it said: {' '.join(lines)}")


def _lost(probe: Probe, output: Sequence[str], probes: Sequence[Probe]) -> Iterator[str]:
    """Say whom the probe did not reach, and why. A peer that it did not even ask, it could not find."""
    told = [line.split() for line in output]
    asked = next(set(words[1:]) for words in told if words[:1] == ["asking"])
    reasons = {words[1]: words[2] for words in told if words[:1] == ["lost"]}
    for other in probes:
        if other is not probe:
            reason = reasons.get(other.peer) or (None if other.peer in asked else "name")
            if reason:
                yield f"{probe.member.name} does not reach {other.member.name} ({_MEANINGS[reason]})"
        elif probe.peer in reasons:
            yield f"{probe.member.name} does not reach itself ({_MEANINGS[reasons[probe.peer]]})"
