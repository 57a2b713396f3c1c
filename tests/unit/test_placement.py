"""Placement spreads, repeats itself on the same snapshot, never books twice, and explains its choice and refusal."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import HostNotReady, NoRoom
from domain.hosts import HostState
from domain.placement import NAMES_SHOWN, Placement, place
from domain.rooms import CPU_OVERCOMMIT, HostRoom, Wanted, joins
from domain.sizes import Size

GIB = 2**30
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
_sizes = st.builds(
    Size,
    st.sampled_from([0.0, 0.1, 0.5, 2.0]),
    st.sampled_from([0, GIB, 3 * GIB]),
    st.sampled_from([0, 5 * GIB, 7 * GIB]),
)
_totals = st.builds(
    Size, st.sampled_from([0.0, 1.0, 4.0]), st.integers(0, 16).map(lambda n: n * GIB), st.sampled_from([0, 40 * GIB])
)


def room(name: str, **changes: object) -> HostRoom:
    return replace(HostRoom(host_id=f"id-{name}", name=name, state=HostState.READY, free=9), **changes)  # type: ignore[arg-type]


@st.composite
def _rooms(draw: st.DrawFn, number: int) -> HostRoom:
    nodes = draw(st.integers(0, 6))
    return room(
        f"host{number}",
        state=draw(st.sampled_from([HostState.READY] * 5 + [HostState.PREPARING, HostState.REMOVING, HostState.ERROR])),
        free=draw(st.integers(0, 8)),
        nodes=nodes,
        of_cluster=draw(st.sampled_from([0, 0, 0, nodes])),
        cordoned=draw(st.sampled_from([False] * 5 + [True])),
        zone=draw(st.sampled_from(["", "a", "b"])),
        total=draw(_totals),
        reserved=draw(_totals),
        free_disk_bytes=draw(st.sampled_from([0, 12 * GIB, 40 * GIB])),
        capabilities=frozenset(draw(st.sets(st.sampled_from(["esp", "ipvs"])))),
        mtu=draw(st.sampled_from([1400, 1500, 9000])),
        addressed=draw(st.sampled_from([True, True, False])),
        unreachable_since=draw(st.sampled_from([None] * 5 + [NOON])),
    )


@st.composite
def _snapshots(draw: st.DrawFn) -> list[HostRoom]:
    return [draw(_rooms(number)) for number in range(draw(st.integers(0, 6)))]


_names = st.sets(st.integers(0, 6).map(lambda number: f"host{number}"), max_size=3).map(lambda names: (*sorted(names),))
_wanted = st.builds(
    Wanted,
    count=st.integers(1, 20),
    size=_sizes,
    capabilities=st.sampled_from([frozenset[str](), frozenset({"ipvs"})]),
    hosts=st.one_of(st.just(()), _names),
    not_hosts=st.one_of(st.just(()), _names),
    segment_mtu=st.sampled_from([None, 1450]),
)


def _try(hosts: list[HostRoom], wanted: Wanted) -> Placement | None:
    """Place, after checking that a refusal names every host."""
    try:
        return place(hosts, wanted)
    except (HostNotReady, NoRoom) as refusal:
        unnamed = [host.name for host in hosts if host.name not in refusal.detail]
    assert unnamed == []
    return None


@given(_snapshots(), _wanted)
def test_nodes_go_only_where_they_may_and_fit(hosts: list[HostRoom], wanted: Wanted) -> None:
    placement = _try(hosts, wanted)
    if placement is None:
        return
    assert len(placement.host_ids) == wanted.count
    by_id = {host.host_id: host for host in hosts}
    for host_id, count in Counter(placement.host_ids).items():
        host, size = by_id[host_id], wanted.size
        assert (host.state, host.cordoned, host.unreachable_since) == (HostState.READY, False, None)
        assert host.name not in wanted.not_hosts
        assert not wanted.hosts or host.name in wanted.hosts
        assert wanted.capabilities <= host.capabilities
        assert count <= host.free
        for asked, reserved, there in (
            (size.memory_bytes, host.reserved.memory_bytes, host.total.memory_bytes),
            (size.cpus, host.reserved.cpus - 1e-6, host.total.cpus * CPU_OVERCOMMIT),
            (size.disk_bytes, host.reserved.disk_bytes, host.total.disk_bytes),
        ):
            assert not asked or not there or reserved + count * asked <= there
        assert not size.disk_bytes or not host.total.disk_bytes or count * size.disk_bytes <= host.free_disk_bytes


@given(_snapshots(), _wanted)
def test_a_cluster_spans_only_hosts_that_can_be_joined(hosts: list[HostRoom], wanted: Wanted) -> None:
    placement = _try(hosts, wanted)
    if placement is None:
        return
    taken = [host for host in hosts if host.host_id in placement.host_ids]
    carrying = [host for host in hosts if host.of_cluster]
    spanned = {host.host_id for host in (*taken, *carrying)}
    assert len(spanned) == 1 or all(joins(host, wanted) for host in taken)


@given(_snapshots(), _wanted, st.randoms(use_true_random=False))
def test_the_order_of_the_snapshot_does_not_matter(hosts: list[HostRoom], wanted: Wanted, random: object) -> None:
    shuffled = list(hosts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert _try(shuffled, wanted) == _try(hosts, wanted) == _try(hosts, wanted)


@given(_snapshots(), _wanted, _rooms(6))
def test_one_more_host_never_makes_a_placement_impossible(
    hosts: list[HostRoom], wanted: Wanted, more: HostRoom
) -> None:
    if _try(hosts, wanted) is not None:
        assert _try([*hosts, replace(more, of_cluster=0)], wanted) is not None


@given(_snapshots(), _wanted)
def test_an_explanation_names_every_host(hosts: list[HostRoom], wanted: Wanted) -> None:
    placement = _try(hosts, wanted)
    if placement is not None:
        assert all(host.name in placement.explanation for host in hosts)
        assert placement.explanation.count(" takes ") == len(set(placement.host_ids))


@given(st.integers(1, 6), st.integers(1, 20), _sizes)
def test_equal_hosts_are_balanced_within_one(hosts: int, count: int, size: Size) -> None:
    rooms = [room(f"h{number}", free=20, total=Size(99, 99 * GIB, 999 * GIB)) for number in range(hosts)]
    rooms = [replace(host, free_disk_bytes=999 * GIB) for host in rooms]
    placed = Counter(place(rooms, Wanted(count=count, size=size)).host_ids)
    shares = [placed[host.host_id] for host in rooms]
    assert max(shares) - min(shares) <= 1


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 20))
def test_zones_are_balanced_within_one_whatever_their_hosts(zones: list[int], count: int) -> None:
    rooms = [
        room(f"z{zone}h{number}", zone=f"z{zone}", free=20, nodes=number)
        for zone, hosts in enumerate(zones)
        for number in range(hosts)
    ]
    chosen = place(rooms, Wanted(count=count)).host_ids
    by_zone = Counter(host.zone for host_id in chosen for host in rooms if host.host_id == host_id)
    shares = [by_zone[f"z{zone}"] for zone in range(len(zones))]
    assert max(shares) - min(shares) <= 1
    for zone in range(len(zones)):
        inside = [Counter(chosen)[host.host_id] for host in rooms if host.zone == f"z{zone}"]
        assert max(inside) - min(inside) <= 1


def test_nodes_that_the_cluster_has_count_before_any_load() -> None:
    rooms = [
        room("idle", zone="a", of_cluster=1, nodes=1),
        room("busy", zone="b", nodes=8),
        room("next", zone="a", nodes=5),
    ]
    assert place(rooms, Wanted(count=3)).host_ids == ("id-busy", "id-next", "id-busy")


def test_a_single_node_goes_where_the_load_is_least() -> None:
    total = Size(8, 16 * GIB, 100 * GIB)
    full = room("a", total=total, reserved=Size(1, 8 * GIB, 10 * GIB), free_disk_bytes=90 * GIB)
    spare = room("b", total=total, reserved=Size(20, GIB, 10 * GIB), free_disk_bytes=90 * GIB)
    disk = room("c", total=total, reserved=Size(1, GIB, 45 * GIB), free_disk_bytes=55 * GIB, nodes=7)
    wanted = Wanted(count=1, size=Size(1, GIB, GIB))
    assert place([full, spare, disk], wanted).host_ids == ("id-c",)


def test_nodes_without_sizes_are_spread_by_the_hosts_memory() -> None:
    rooms = [
        room("large", total=Size(8, 64 * GIB, 0), nodes=6),
        room("small", total=Size(8, 16 * GIB, 0), nodes=3),
    ]
    assert place(rooms, Wanted(count=1)).host_ids == ("id-large",)
    unmeasured = room("unmeasured", nodes=4)
    assert place([*rooms, unmeasured], Wanted(count=1)).host_ids == ("id-small",)


def test_a_choice_says_why_of_each_host() -> None:
    total = Size(4, 8 * GIB, 0)
    rooms = [
        room("rack1", zone="a", total=total),
        room("rack2", zone="a", total=total, reserved=Size(0, 4 * GIB, 0)),
        room("rack3", zone="b", total=total, nodes=2, reserved=Size(0, 2 * GIB, 0)),
        room("rack4", cordoned=True),
        room("rack5", cordoned=True),
        room("rack6", addressed=False),
    ]
    assert place(rooms, Wanted(count=2, size=Size(1, 2 * GIB, 0))).explanation == (
        "6 hosts: rack1 takes 1 (zone a, 0 of the cluster and 0 in all before, 25% full with them), "
        "rack2 has more of the cluster in its zone a, "
        "rack3 takes 1 (zone b, 0 of the cluster and 2 in all before, 50% full with them), "
        "2 cordoned (rack4, rack5), "
        "rack6 has no way to other hosts, so it carries a cluster alone or not at all."
    )
    alone = place([rooms[1], rooms[0]], Wanted(count=1)).explanation
    assert alone.endswith("rack2 would be fuller (50% against 0%).")


def test_a_refusal_says_why_of_each_host() -> None:
    rooms = [
        room("rack0", unreachable_since=NOON),
        room("rack1", cordoned=True),
        room("rack2", cordoned=True),
        room("rack3", total=Size(0, 4 * GIB, 0), reserved=Size(0, int(2.8 * GIB), 0)),
    ]
    with pytest.raises(NoRoom) as refusal:
        place(rooms, Wanted(count=1, size=Size(0, 2 * GIB, 0)))
    assert refusal.value.detail == (
        "There is no room for one more node of 2 GiB of memory: "
        "4 hosts: rack0 is unreachable since 2026-01-02 12:00 UTC, 2 cordoned (rack1, rack2), "
        "rack3 has 1.2 of 4 GiB of memory free."
    )


@pytest.mark.parametrize(
    ("host", "wanted", "reason"),
    [
        (room("x", free=2), Wanted(count=3), "x has room for 2 (2 uid ranges free)"),
        (room("x", free=0), Wanted(count=1), "x has no uid range free"),
        (
            room("x", total=Size(2, 0, 0), reserved=Size(7.5, 0, 0)),
            Wanted(count=1, size=Size(1, 0, 0)),
            "x has 0.5 of 8 CPUs free (2 times 4)",
        ),
        (
            room("x", total=Size(0, 0, 20 * GIB), reserved=Size(0, 0, 15 * GIB), free_disk_bytes=19 * GIB),
            Wanted(count=1, size=Size(0, 0, 6 * GIB)),
            "x has 5 of 20 GiB of disk free",
        ),
        (
            room("x", total=Size(0, 0, 20 * GIB), free_disk_bytes=3 * GIB),
            Wanted(count=1, size=Size(0, 0, 6 * GIB)),
            "x has 3 GiB of disk free, as measured",
        ),
        (room("x"), Wanted(count=1, capabilities=frozenset({"ipvs"})), "x is without ipvs"),
        (room("x", mtu=1400), Wanted(count=1, segment_mtu=1450), "x has an MTU of 1400 bytes, too few"),
        (room("x"), Wanted(count=1, not_hosts=("x",)), "no room for one more node: 1 host: x is excluded."),
        (room("x"), Wanted(count=1, hosts=("y",)), "x is not among those asked for, y is asked for and not there."),
        (room("x", free=2, addressed=False), Wanted(count=3), "x has room for 2, and no way to other hosts"),
    ],
)
def test_each_reason_is_told(host: HostRoom, wanted: Wanted, reason: str) -> None:
    with pytest.raises((NoRoom, HostNotReady)) as refusal:
        place([host], wanted)
    assert reason in refusal.value.detail


def test_a_host_that_is_being_prepared_is_worth_waiting_for_if_it_helps() -> None:
    preparing, full = room("new", state=HostState.PREPARING), room("old", cordoned=True)
    with pytest.raises(HostNotReady, match="No host is ready: 1 host: new is being prepared"):
        place([preparing], Wanted(count=1))
    with pytest.raises(HostNotReady, match="until more hosts are ready: 2 hosts: new is being prepared, old is cord"):
        place([preparing, full], Wanted(count=9))
    with pytest.raises(NoRoom, match="new is being prepared, old is cordoned"):
        place([preparing, full], Wanted(count=10))
    with pytest.raises(HostNotReady):
        place([replace(preparing, free=0), full], Wanted(count=10))
    with pytest.raises(NoRoom):
        place([replace(preparing, cordoned=True), full], Wanted(count=1))
    with pytest.raises(HostNotReady, match="there are no hosts"):
        place([], Wanted(count=1))


def test_a_host_without_a_way_to_others_carries_a_cluster_alone() -> None:
    alone, near, far = room("alone", addressed=False), room("near", free=1), room("far", free=1)
    assert set(place([alone, near], Wanted(count=3)).host_ids) == {"id-alone"}
    assert set(place([alone, near, far], Wanted(count=2)).host_ids) == {"id-near", "id-far"}
    begun = replace(alone, of_cluster=1, nodes=1)
    assert set(place([begun, near], Wanted(count=2)).host_ids) == {"id-alone"}
    with pytest.raises(NoRoom, match="alone has no way to other hosts, so it carries a cluster alone"):
        place([alone, replace(near, of_cluster=1)], Wanted(count=2))


def test_a_cluster_with_a_wider_network_than_fits_into_vxlan_stays_where_it_is() -> None:
    rooms = [room("old", of_cluster=2, nodes=2), room("new")]
    assert place(rooms, Wanted(count=2, segment_mtu=1500)).host_ids == ("id-old", "id-old")
    assert place(rooms, Wanted(count=2, segment_mtu=1450)).host_ids == ("id-new", "id-new")


def test_an_explanation_of_a_whole_fleet_is_short_and_quick() -> None:
    rooms = [room(f"host{number:03}", cordoned=number >= 100) for number in range(200)]
    said = place(rooms, Wanted(count=100)).explanation
    assert "100 cordoned (host100, host101, " in said
    assert f"{100 - NAMES_SHOWN} more)" in said
    assert "takes 1 (0 of the cluster and 0 in all before, 0% full with them), 76 more likewise, " in said
