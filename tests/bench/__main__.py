"""`python -m tests.bench`: Carina on this machine, measured.

Beside the shortest scripts (swarm, kubernetes), over several hosts (hosts), beside scp (transfer), and with a fleet
whose hosts only wait (fleet).
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence

from tests.bench import fleet, many_hosts, memory, report, transfer
from tests.bench.fleet_place import POSTGRESQL, SQLITE
from tests.bench.kinds import Kind
from tests.bench.kubernetes import KUBERNETES
from tests.bench.place import Place, client_start_ms, place_for
from tests.bench.runs import Run
from tests.bench.swarm import SWARM
from worker.logs import configure_logs

KINDS = {kind.coe: kind for kind in (SWARM, KUBERNETES)}
HOSTS, TRANSFER, FLEET = "hosts", "transfer", "fleet"
RUNS = 5
HOSTS_RUNS = 3
TRANSFER_MEGABYTES = 256
BUDGET_S = 180.0
IDLE_S = 8.0


def main() -> None:
    """Run the bench and print its tables."""
    options = _options()
    configure_logs("warning")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that all is taken away
    _say(f"load average before: {' '.join(f'{load:.1f}' for load in os.getloadavg())}, {os.cpu_count()} cores")
    kinds = [KINDS[name] for name in options.only if name in KINDS]
    if kinds:
        _beside_scripts(kinds, options)
    if HOSTS in options.only:
        nodes = max(options.nodes or [many_hosts.NODES])
        runs = options.runs or (1 if options.quick else HOSTS_RUNS)
        asyncio.run(many_hosts.measure(_say, nodes=nodes, runs=runs, budget_s=options.budget_s))
    if TRANSFER in options.only:
        _say(f"\ntransfer: {asyncio.run(transfer.measure(TRANSFER_MEGABYTES))}")
    whole = True
    if FLEET in options.only:
        whole = asyncio.run(fleet.measure(fleet.QUICK if options.quick else fleet.WHOLE, _say, options.database))
    _say(f"load average after: {' '.join(f'{load:.1f}' for load in os.getloadavg())}")
    sys.exit(None if whole else "not all that the fleet was asked for came about")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parts = (*KINDS, HOSTS, TRANSFER, FLEET)
    parser.add_argument("--only", choices=parts, nargs="+", default=parts, help="parts (all)")
    parser.add_argument(
        "--runs", type=int, help=f"pairs of runs for each size ({RUNS}); rounds over hosts ({HOSTS_RUNS})"
    )
    parser.add_argument("--nodes", type=int, nargs="+", help="sizes of clusters (1 3 8 for Swarm, 1 3 for Kubernetes)")
    parser.add_argument(
        "--budget-s",
        type=float,
        default=BUDGET_S,
        help="seconds for each orchestrator, and for hosts, after which no pair is begun but a first (%(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="a small fleet, and one round over hosts")
    parser.add_argument(
        "--database", choices=(SQLITE, POSTGRESQL), default=SQLITE, help="what the fleet is recorded in (%(default)s)"
    )
    return parser.parse_args()


def _beside_scripts(kinds: Sequence[Kind], options: argparse.Namespace) -> None:
    """Measure orchestrators' clusters beside those that scripts make."""
    began = time.monotonic()
    with place_for(max(size for kind in kinds for size in options.nodes or kind.sizes)) as place:
        _say(f"the service is up ({time.monotonic() - began:.1f} s)")
        for kind in kinds:
            _measure(kind, place, options.nodes or kind.sizes, options.runs or RUNS, options.budget_s)


def _measure(kind: Kind, place: Place, sizes: Sequence[int], runs: int, budget_s: float) -> None:
    """Print all tables of one orchestrator."""
    began = time.monotonic()
    place.warm_up(kind.coe)
    _say(f"\n{kind.coe}: the node image is there ({time.monotonic() - began:.1f} s)")
    deadline = time.monotonic() + budget_s
    for number, nodes in enumerate(sizes):
        share_s = (deadline - time.monotonic()) / (len(sizes) - number)
        script, carina = _alternate(kind, place, nodes, runs, time.monotonic() + share_s)
        start_ms = min(client_start_ms(place) for _ in range(3))
        _say(report.comparison(kind, nodes, script, carina))
        _say(f"{report.joins(kind, script, carina)}\n{report.milestones(kind, script, carina)}")
        _say(f"\n{report.where_time_goes(kind, carina, start_ms)}")
    _say(_idle_memory(kind, place))


def _alternate(kind: Kind, place: Place, nodes: int, runs: int, deadline: float) -> tuple[list[Run], list[Run]]:
    """Run script, Carina, script, Carina, ..., so that what else the machine does meets both alike."""
    script: list[Run] = []
    carina: list[Run] = []
    for number in range(runs):
        if script and time.monotonic() > deadline:
            _say(f"  {runs - number} of {runs} pairs with {nodes} nodes are left out: the time for them is over")
            break
        script.append(kind.by_script(place, nodes))
        carina.append(kind.by_carina(place, nodes))
        _say(
            f"  {kind.coe}, {nodes} nodes: script {script[-1].total_ms:.0f} ms, carina {carina[-1].total_ms:.0f} ms,"
            f" {carina[-1].further_ms:.0f} ms with {kind.more}"
        )
    return script, carina


def _idle_memory(kind: Kind, place: Place) -> str:
    """Measure nodes that have had some seconds of peace in a cluster of two, whole and by what runs in them."""
    place.create(kind.coe, 2)
    time.sleep(IDLE_S)
    cluster, _ = place.cluster()
    tables = [report.memory(memory.of_service(place))]
    for node in place.installation.nodes(cluster["id"]):
        held = {f"{kind.coe} node, {node['role']}": memory.of_node(node["container"])}
        tables.append(report.memory(held | memory.by_component(node["container"])))
    place.delete()
    return "\n".join(tables)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program that talks to a person


if __name__ == "__main__":
    main()
