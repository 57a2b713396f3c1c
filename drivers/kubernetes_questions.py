"""What probes are asked, and what their answers mean. Blocks. See `kubernetes_probe`."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from time import monotonic, sleep

from domain.nodes import Member
from drivers.kubernetes_client import Api
from drivers.kubernetes_probe import LABEL, OPEN_PORT, Answers, Probe, Running, in_parallel

NAMESPACES = "/api/v1/namespaces"
PATIENCE_S = 20
"""How long a probe asks another before it gives it up."""
_ENFORCED_WITHIN_S = 3.0
_POLL_S = 0.05
_MEANINGS = {
    "packets": "it answers, but full packets get lost: the MTU on the way is smaller than the pods'",
    "answer": "it does not answer",
}


def clear(api: Api) -> None:
    """Remove the namespaces that checks which were killed left behind."""
    for found in api.items(NAMESPACES, labelSelector=LABEL):
        if "deletionTimestamp" not in found["metadata"]:
            api.delete(f"{NAMESPACES}/{found['metadata']['name']}")


@contextmanager
def namespace(api: Api) -> Iterator[str]:
    """Make a namespace for probes, ready for pods, and let it go at the end: that takes longer than to say so."""
    name = f"carina-probe-{secrets.token_hex(3)}"
    api.create(NAMESPACES, {"metadata": {"name": name, "labels": {LABEL: ""}}})
    try:
        # Pods need the account; the controller that makes it would take a moment longer.
        api.ensure(f"{NAMESPACES}/{name}/serviceaccounts", {"metadata": {"name": "default"}})
        yield name
    finally:
        api.delete(f"{NAMESPACES}/{name}")


def probes_on(members: Sequence[Member], namespace: str) -> Sequence[Probe]:
    """Return a probe for each member; two where there is but one, since a pod always reaches itself."""
    places = members if len(members) > 1 else [*members, *members]
    return [Probe(member, namespace, f"probe-{number}") for number, member in enumerate(places, 1)]


def reach(pool: Executor, probes: Sequence[Running], patience_s: int) -> None:
    """Let each probe ask for all others' files; `lost` reads what came of it."""
    peers = [f"{probe.address}:{OPEN_PORT}" for probe in probes]
    in_parallel(pool, lambda probe: probe.ask("reach", patience_s, *peers), probes)


def lost(probe: Running, answers: Answers, probes: Sequence[Running]) -> Iterator[str]:
    """Say whom the probe did not reach, and why."""
    by_address = {f"{other.address}:{OPEN_PORT}": other for other in probes}
    for words in answers:
        if words[0] == "lost":
            yield f"{probe.member.name} does not reach {by_address[words[1]].member.name} ({_MEANINGS[words[2]]})"


def opened(pool: Executor, peers: Mapping[Running, Sequence[str]], patience_s: int) -> Sequence[tuple[Running, str]]:
    """Let probes ask for a word at addresses with ports; return who got it, and where."""

    def ask(probe: Running) -> list[tuple[Running, str]]:
        probe.ask("knock", patience_s, *peers[probe])
        return [(probe, words[1]) for words in probe.answers(["knock"]) if words[0] == "open"]

    return [pair for pairs in in_parallel(pool, ask, list(peers)) for pair in pairs]


def still_open(api: Api, pool: Executor, peers: Mapping[Running, Sequence[str]]) -> Sequence[tuple[Running, str]]:
    """Return who got a word at an address that policies close to him.

    Policies may be enforced a moment after a pod's start. Only pods of a DaemonSet do that: where there is none, the
    first answer counts.
    """
    patience_s = _ENFORCED_WITHIN_S if api.items("/apis/apps/v1/daemonsets", limit="1") else 0.0
    deadline = monotonic() + patience_s
    while (found := opened(pool, peers, 0)) and monotonic() < deadline:
        sleep(_POLL_S)
    return found
