"""Swarm's two sides. Each makes a cluster until a container answers, and takes it away again."""

import time

from tests.bench.kinds import Kind
from tests.bench.place import Place
from tests.bench.runs import ANSWER, FIRST, Milestones, Run, of_carina, of_script

COE = "swarm"
SCRIPT = "swarm_shortest.sh"

MILESTONES: Milestones = {
    "request accepted": (None, None),
    "bridge up": ("bridge", "ensure_segment"),
    FIRST: ("ready", "ensure_node"),
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


def by_script(place: Place, nodes: int) -> Run:
    """Let the script make a cluster, and remove it."""
    began = time.time()
    output = place.create_by_script(SCRIPT, COE, nodes)
    total_ms = (time.time() - began) * 1000
    assert ANSWER in output, output
    place.remove_script_nodes()
    return Run(total_ms, total_ms, of_script(MILESTONES, output, began))


def by_carina(place: Place, nodes: int) -> Run:
    """Let Carina make a cluster, as a person does it, and remove it. What is only asked for the report is not timed."""
    began = time.time()
    place.create(COE, nodes)
    created = time.time()
    cluster, operation = place.cluster()
    containers = [node["container"] for node in place.installation.nodes(cluster["id"])]
    asked = time.time()
    output = place.run(
        SCRIPT, "answer", str(place.installation.nodes_dir), containers[min(1, nodes - 1)], containers[-1]
    )
    answered = time.time()
    assert ANSWER in output, output
    place.delete()
    untimed_s = asked - created
    return Run(
        (created - began) * 1000,
        (answered - began - untimed_s) * 1000,
        of_carina(MILESTONES, operation, began, created, (output, untimed_s)),
        operation,
    )


SWARM = Kind(COE, 1.3, (1, 3, 8), "one more web container", MILESTONES, by_script, by_carina)
