"""`python -m tests.bench`: Carina against the shortest script, side by side, on this machine."""

import argparse
import os
import signal
import sys
import time

from tests.bench import memory, report
from tests.bench.place import Place, place_for
from tests.bench.sides import CLUSTER, Run, by_carina, by_script, client_start_ms

SIZES = (1, 3, 8)
RUNS = 5
BUDGET_S = 170.0
IDLE_S = 5.0


def main() -> None:
    """Run the bench and print its tables."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that all is taken away
    _say(f"load average before: {' '.join(f'{load:.1f}' for load in os.getloadavg())}, {os.cpu_count()} cores")
    began = time.monotonic()
    with place_for(max(options.nodes)) as place:
        _say(f"the service is up, the image is there ({time.monotonic() - began:.1f} s)")
        deadline = time.monotonic() + options.budget_s
        for number, nodes in enumerate(options.nodes):
            share_s = (deadline - time.monotonic()) * nodes / sum(options.nodes[number:])
            script, carina = _alternate(place, nodes, options.runs, time.monotonic() + share_s)
            start_ms = min(client_start_ms(place) for _ in range(3))
            _say(report.comparison(nodes, script, carina))
            _say(f"\n{report.milestones(script, carina)}\n\n{report.where_time_goes(carina, start_ms)}")
        _say(_idle_memory(place))
    _say(f"load average after: {' '.join(f'{load:.1f}' for load in os.getloadavg())}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="pairs of runs for each size (%(default)s)")
    parser.add_argument("--nodes", type=int, nargs="+", default=SIZES, help="sizes of clusters (1 3 8)")
    parser.add_argument(
        "--budget-s",
        type=float,
        default=BUDGET_S,
        help="seconds after which no pair is begun but a first (%(default)s)",
    )
    return parser.parse_args()


def _alternate(place: Place, nodes: int, runs: int, deadline: float) -> tuple[list[Run], list[Run]]:
    """Run script, Carina, script, Carina, ..., so that what else the machine does meets both alike."""
    script: list[Run] = []
    carina: list[Run] = []
    for number in range(runs):
        if script and time.monotonic() > deadline:
            _say(f"  {runs - number} of {runs} pairs with {nodes} nodes are left out: the time for them is over")
            break
        script.append(by_script(place, nodes))
        carina.append(by_carina(place, nodes))
        _say(f"  {nodes} nodes: script {script[-1].total_ms:.0f} ms, carina {carina[-1].total_ms:.0f} ms")
    return script, carina


def _idle_memory(place: Place) -> str:
    """Measure a node that has had some seconds of peace in a swarm, and the service."""
    installation = place.installation
    installation.carina("create", CLUSTER, "--nodes", "2", "--wait")
    time.sleep(IDLE_S)
    (cluster,) = installation.get(f"/clusters?name={CLUSTER}")["clusters"]
    held = {f"node, {node['role']}": memory.of_node(node["container"]) for node in installation.nodes(cluster["id"])}
    installation.carina("delete", CLUSTER, "--yes", "--wait")
    return report.memory({**memory.of_service(place), **held})


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program that talks to a person


if __name__ == "__main__":
    main()
