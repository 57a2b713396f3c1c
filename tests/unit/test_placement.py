"""Placement spreads, repeats itself on the same snapshot, and explains a refusal."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import HostNotReady, NoRoom
from domain.hosts import HostState
from domain.placement import HostRoom, place

_hosts = st.lists(
    st.builds(
        lambda number, state, nodes, free: HostRoom(f"id{number}", f"host{number}", state, nodes, free),
        st.integers(0, 50),
        st.sampled_from(HostState),
        st.integers(0, 20),
        st.integers(0, 20),
    ),
    max_size=8,
    unique_by=lambda host: host.host_id,
)


@given(_hosts, st.integers(1, 40))
def test_nodes_go_to_ready_hosts_with_room_or_nowhere(hosts: list[HostRoom], count: int) -> None:
    ready = {host.host_id: host for host in hosts if host.state is HostState.READY}
    if not ready:
        with pytest.raises(HostNotReady):
            place(hosts, count)
        return
    if sum(host.free for host in ready.values()) < count:
        with pytest.raises(NoRoom) as refusal:
            place(hosts, count)
        assert all(host.name in refusal.value.detail for host in hosts)
        return
    chosen = place(hosts, count)
    placed = Counter(chosen)
    assert len(chosen) == count
    assert all(placed[host_id] <= ready[host_id].free for host_id in placed)
    assert place(list(reversed(hosts)), count) == chosen


@given(_hosts, st.integers(1, 40))
def test_no_node_goes_where_another_host_with_room_has_fewer(hosts: list[HostRoom], count: int) -> None:
    ready = [host for host in hosts if host.state is HostState.READY]
    if sum(host.free for host in ready) < count:
        return
    placed = Counter(place(hosts, count)) if ready else Counter[str]()
    open_after = [host for host in ready if placed[host.host_id] < host.free]
    for taker in ready:
        if placed[taker.host_id]:
            before_last = taker.nodes + placed[taker.host_id] - 1
            assert all(before_last <= host.nodes + placed[host.host_id] for host in open_after)


def test_a_refusal_names_each_host_and_why() -> None:
    hosts = [
        HostRoom("1", "alpha", HostState.READY, nodes=3, free=1),
        HostRoom("2", "beta", HostState.ERROR, nodes=0, free=9),
    ]
    with pytest.raises(NoRoom, match="alpha has room for 1, beta is error"):
        place(hosts, 2)
    with pytest.raises(HostNotReady, match="beta is error"):
        place(hosts[1:], 1)
