"""What one create over some hosts was: its operation, and the scripts that were run over SSH meanwhile."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.runs import Json, moment

_EVENT = "ssh.script"
_NODE = re.compile(r"^(Making|Probing the network of) node .*")


@dataclass(frozen=True)
class Trip:
    """A script that was run over SSH: when it was asked for, on which host, and what for."""

    at: float
    host: str
    what: str

    @property
    def of_node(self) -> bool:
        """Whether it is about one node, and not about all that a host has of the cluster."""
        return self.what == "Making a node"


@dataclass(frozen=True)
class HostsRun:
    """A create, with its steps, and its round trips."""

    operation: Json
    trips: Sequence[Trip]

    @property
    def began(self) -> float:
        return moment(self.operation["created_at"])

    @property
    def total_s(self) -> float:
        return moment(self.operation["ended_at"]) - self.began

    @property
    def joined_s(self) -> float:
        """Until all nodes were members. What follows is the proof of the overlay network, whose gossip is random."""
        ends = [moment(step["ended_at"]) for step in self.steps("join_node") or self.steps("form_cluster")]
        return max(ends) - self.began

    def steps(self, name: str) -> list[Json]:
        """Return the attempts of a step. That which records the result may be seen before it has ended: then none."""
        return [step for step in self.operation["steps"] if step["name"] == name and step["ended_at"]]


def trips_of(log: Path, began: float, ended: float) -> list[Trip]:
    """Return the scripts that the service's log tells of, between two moments in seconds since 1970."""
    found: list[Trip] = []
    with log.open(errors="replace") as lines:
        for line in lines:
            if _EVENT not in line or not line.startswith("{"):
                continue
            event = json.loads(line)
            at = moment(event["timestamp"])
            if event["event"] == _EVENT and began <= at <= ended:
                found.append(Trip(at, event["host"], _NODE.sub(r"\1 a node", event["what"])))
    return found
