from collections.abc import Iterator
from typing import Any, cast

import pytest
from docker import APIClient
from docker.errors import APIError

from domain.nodes import Member, NodeRole
from drivers.swarm_gossip import await_gossip

MANAGER = Member("n1", "demo-1", NodeRole.MANAGER, "10.64.0.10")
AMBIGUOUS = "2 matches found based on name: network ingress is ambiguous"


class Engine:
    """Answers questions about its network one after the other."""

    def __init__(self, *answers: dict[str, Any] | APIError) -> None:
        self.left: Iterator[dict[str, Any] | APIError] = iter(answers)

    def inspect_network(self, name: str) -> dict[str, Any]:
        assert name == "ingress"
        answer = next(self.left)
        if isinstance(answer, APIError):
            raise answer
        return answer


def refused(text: str) -> APIError:
    return APIError("400 Client Error", explanation=text)


def test_a_manager_that_still_has_the_network_of_another_swarm_is_waited_for() -> None:
    engine = Engine(refused(AMBIGUOUS), {"Peers": None}, {"Peers": [{"IP": MANAGER.address}]})
    await_gossip(cast("APIClient", engine), MANAGER)
    assert list(engine.left) == []


def test_any_other_refusal_is_told() -> None:
    engine = Engine(refused("no such luck"), {"Peers": [{"IP": MANAGER.address}]})
    with pytest.raises(APIError, match="no such luck"):
        await_gossip(cast("APIClient", engine), MANAGER)
