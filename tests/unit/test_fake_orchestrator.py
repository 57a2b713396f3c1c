"""The fake keeps the promises that the real orchestrator keeps in tests/drivers/test_swarm.py."""

import pytest

from domain.errors import DockerSilent, OverlayFailed, SwarmFailed
from domain.nodes import Member, NodeRole
from domain.overlays import Overlay
from domain.secrets import Access, KeyPair
from drivers.fakes.orchestrator import FakeOrchestrator

MANAGER = Member("1", "demo-1", NodeRole.MANAGER, "10.64.0.10")
WORKER = Member("2", "demo-2", NodeRole.WORKER, "10.64.0.11")
ACCESS = Access(b"", KeyPair(b"", b""))
OVERLAY = Overlay("carina", "10.48.0.0/24", 1450)


async def test_forming_joining_and_leaving_twice_is_the_same_as_once() -> None:
    fake = FakeOrchestrator()
    for _ in range(2):
        await fake.form(MANAGER, ACCESS)
        await fake.join(MANAGER, WORKER, ACCESS)
    assert await fake.health(MANAGER, ACCESS) == {"demo-1": True, "demo-2": True}
    for _ in range(2):
        await fake.drain(MANAGER, WORKER, ACCESS)
        await fake.leave(MANAGER, WORKER, ACCESS)
    assert await fake.health(MANAGER, ACCESS) == {"demo-1": True}


async def test_nobody_joins_a_cluster_that_was_not_formed() -> None:
    with pytest.raises(SwarmFailed):
        await FakeOrchestrator().join(MANAGER, WORKER, ACCESS)


async def test_an_overlay_is_proved_while_it_is_there() -> None:
    fake = FakeOrchestrator()
    await fake.form(MANAGER, ACCESS)
    await fake.ensure_overlay([MANAGER], OVERLAY, ACCESS)
    await fake.verify([MANAGER], OVERLAY, ACCESS)
    for _ in range(2):
        await fake.remove_overlay([MANAGER], OVERLAY.name, ACCESS)
    with pytest.raises(OverlayFailed):
        await fake.verify([MANAGER], OVERLAY, ACCESS)


async def test_it_fails_where_it_is_told_to_until_told_otherwise() -> None:
    fake = FakeOrchestrator(failing={"form": DockerSilent("silent")})
    for _ in range(2):
        with pytest.raises(DockerSilent):
            await fake.form(MANAGER, ACCESS)
    del fake.failing["form"]
    await fake.form(MANAGER, ACCESS)
    assert fake.calls == ["form", "form", "form"]
