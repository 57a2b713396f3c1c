"""The demo: from nothing to an answer over a cluster's network. `demo.py [swarm|kubernetes] [--rack N]`."""

import argparse
from collections.abc import Callable, Mapping

import kubernetes_demo
import rack_demo
import swarm_demo
from service import Service
from timings import Timings

from worker.settings import Settings

SHOWS: Mapping[str, Callable[[Service, Timings], None]] = {
    "swarm": swarm_demo.show,
    "kubernetes": kubernetes_demo.show,
}


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("orchestrator", nargs="?", choices=SHOWS, default="swarm")
    parser.add_argument("--rack", type=int, metavar="N", help="across N containers that stand for bare-metal hosts")
    options = parser.parse_args()
    show = SHOWS[options.orchestrator]
    timings = Timings()
    with timings.part("Start Carina, prepare this machine"):
        service = Service(Settings())
    if options.rack:
        rack_demo.prepare(service, options.rack, timings)
    show(service, timings)
    if options.rack:
        print(rack_demo.NEXT)


if __name__ == "__main__":
    main()
