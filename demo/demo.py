"""The demo: from nothing to an answer over a cluster's network. `demo.py [swarm|kubernetes]`."""

import argparse
from collections.abc import Callable, Mapping

import kubernetes_demo
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
    show = SHOWS[parser.parse_args().orchestrator]
    timings = Timings()
    with timings.part("Start Carina, prepare this machine"):
        service = Service(Settings())
    show(service, timings)


if __name__ == "__main__":
    main()
