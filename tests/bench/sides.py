"""The two sides: the script, and Carina. Each makes a cluster until a container answers, and takes it away again."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.bench.place import Place
from tests.e2e.installation import BIN

Json = dict[str, Any]
CLUSTER = "bench"
ANSWER = "it works"

MILESTONES = {
    "request accepted": (None, None),
    "bridge up": ("bridge", "ensure_segment"),
    "first node ready": ("ready", "ensure_node"),
    "last node ready": ("ready", "ensure_node"),
    "swarm formed": ("formed", "form_cluster"),
    "last worker joined": ("joined", "join_node"),
    "overlay made": ("overlay", "ensure_overlay"),
    "overlay proved": (None, "verify_overlay"),
    "operation ended": (None, None),
    "command ended": (None, None),
    "web container runs": ("web", None),
    "answer": ("answered", None),
}
"""What both sides come past: the script's mark, and Carina's step. In the order in which people think of them."""


@dataclass
class Run:
    """One run of one side, in milliseconds: until a container on one node has answered one on another, and more.

    The script's run ends with that answer. Carina's create ends when probes on all nodes have answered each other;
    `further_ms` is the time with a web container, and its answer, after that.
    """

    total_ms: float
    further_ms: float
    milestones: dict[str, float]
    operation: Json = field(default_factory=dict)


def by_script(place: Place, nodes: int) -> Run:
    """Let the script make a cluster, and remove it."""
    began = time.time()
    output = place.create_by_script(nodes)
    total_ms = (time.time() - began) * 1000
    assert ANSWER in output, output
    place.remove_script_nodes()
    moments = _marks(output)
    reached = {name: moments[mark] for name, (mark, _) in MILESTONES.items() if mark in moments}
    return Run(total_ms, total_ms, _milestones(reached, began))


def by_carina(place: Place, nodes: int) -> Run:
    """Let Carina make a cluster, as a person does it, and remove it. What is only asked for the report is not timed."""
    installation = place.installation
    began = time.time()
    installation.carina("create", CLUSTER, "--nodes", str(nodes), "--wait")
    created = time.time()
    (cluster,) = installation.get(f"/clusters?name={CLUSTER}")["clusters"]
    containers = [node["container"] for node in installation.nodes(cluster["id"])]
    asked = time.time()
    output = place.answer(containers[min(1, nodes - 1)], containers[-1])
    answered = time.time()
    assert ANSWER in output, output
    (listed,) = installation.get(f"/clusters/{cluster['id']}/operations")["operations"]
    operation = installation.get(f"/operations/{listed['id']}")
    installation.carina("delete", CLUSTER, "--yes", "--wait")

    untimed = asked - created
    reached = {
        "request accepted": [moment(operation["created_at"])],
        "operation ended": [moment(operation["ended_at"])],
        "command ended": [created],
    }
    for name, (mark, step_name) in MILESTONES.items():
        ends = [moment(step["ended_at"]) for step in operation["steps"] if step["name"] == step_name]
        if ends:
            reached[name] = ends
        elif mark in ("web", "answered"):
            reached[name] = [at - untimed for at in _marks(output)[mark]]
    return Run((created - began) * 1000, (answered - began - untimed) * 1000, _milestones(reached, began), operation)


def client_start_ms(place: Place) -> float:
    """How long the client takes to do nothing."""
    began = time.monotonic()
    place.installation.run(str(BIN / "carina"), "--version")
    return (time.monotonic() - began) * 1000


def moment(text: str) -> float:
    """A time of the API, in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def _marks(output: str) -> dict[str, list[float]]:
    marks: dict[str, list[float]] = {}
    for line in output.splitlines():
        if line.startswith("mark "):
            _, name, microseconds = line.split()
            marks.setdefault(name, []).append(int(microseconds) / 1e6)
    return marks


def _milestones(reached: dict[str, list[float]], began: float) -> dict[str, float]:
    choose = {"first node ready": min}
    return {name: (choose.get(name, max)(times) - began) * 1000 for name, times in reached.items()}
