"""Kubernetes' two sides. Each makes a cluster until its pods have answered; a cluster of one also grows by one."""

import time

from tests.bench.kinds import Kind
from tests.bench.place import CLUSTER, Place
from tests.bench.runs import ANSWER, FIRST, Milestones, Run, moment, of_carina, of_script

COE = "kubernetes"
SCRIPT = "kubernetes_shortest.sh"

MILESTONES: Milestones = {
    "request accepted": (None, None),
    "bridge up": ("bridge", "ensure_segment"),
    FIRST: ("started", "ensure_node"),
    "last node started": ("started", "ensure_node"),
    "API ready": ("formed", None),
    "first node formed": (None, "form_cluster"),
    "last node Ready": ("ready", "join_node"),
    "network proved": (None, "verify_overlay"),
    "operation ended": (None, None),
    "command ended": (None, None),
    "pods accepted": ("web", None),
    "pods have answered": ("answered", None),
    "pods have answered each other": ("met", None),
}


def by_script(place: Place, nodes: int) -> Run:
    """Let the script make a cluster, and remove it."""
    place.clear_keys()
    began = time.time()
    output = place.create_by_script(SCRIPT, COE, nodes, *_keys_and_python(place))
    total_ms = (time.time() - began) * 1000
    assert output.count(ANSWER) == nodes**2, output
    run = Run(total_ms, total_ms, of_script(MILESTONES, output, began))
    if nodes == 1:
        began = time.time()
        place.join_by_script(SCRIPT, COE, nodes + 1, *_keys_and_python(place))
        run.ready_ms = (time.time() - began) * 1000
    place.remove_script_nodes()
    return run


def by_carina(place: Place, nodes: int) -> Run:
    """Let Carina make a cluster, as a person does it, and remove it. What is only asked for the report is not timed."""
    began = time.time()
    place.create(COE, nodes)
    created = time.time()
    cluster, operation = place.cluster()
    members = place.installation.nodes(cluster["id"])
    place.clear_keys()
    place.installation.carina("credentials", CLUSTER, "--dir", str(place.keys))
    asked = time.time()
    output = place.run(
        SCRIPT,
        "answer",
        str(place.keys),
        members[0]["address"],
        *(f"{node['name']}={node['address']}" for node in members),
    )
    answered = time.time()
    assert output.count(ANSWER) == nodes**2, output
    untimed_s = asked - created
    run = Run(
        (created - began) * 1000,
        (answered - began - untimed_s) * 1000,
        of_carina(MILESTONES, operation, began, created, (output, untimed_s)),
        operation,
    )
    if nodes == 1:
        began = time.time()
        place.installation.carina("grow", CLUSTER, "--by", "1", "--wait")
        run.grown_ms = (time.time() - began) * 1000
        joined = next(step for step in place.cluster()[1]["steps"] if step["name"] == "join_node")
        run.ready_ms = (moment(joined["ended_at"]) - began) * 1000
    place.delete()
    return run


def _keys_and_python(place: Place) -> tuple[str, str]:
    return str(place.keys), str(place.python)


KUBERNETES = Kind(COE, 1.2, (1, 3), "one more pod on each node", MILESTONES, by_script, by_carina, join_aim_ms=3000.0)
