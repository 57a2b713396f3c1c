"""What an instance claims on a host, decided from what is seen there."""

import json

import pytest

from domain.errors import HostNotReady, NoAddressLeft
from domain.hosts import Claim, Host
from domain.instance import Instance
from drivers.claims import Claims, HeldClaim, Surroundings, networks_in_use, read_surroundings, subid_range

HOST = Host("h1", "one", "local", "/srv/demo")
CLAIMS = Claims(Instance("demo"), network=None)
OTHER = HeldClaim("othr", "/srv/othr", Claim("10.64.0.0/16", 1_000_000_000, 1024))


def seen(
    networks: tuple[tuple[str, str], ...] = (),
    ranges: tuple[tuple[int, int], ...] = (),
    held: tuple[HeldClaim, ...] = (),
) -> Surroundings:
    return Surroundings("state", networks, ranges, held)


def test_the_first_free_network_and_uids_are_claimed() -> None:
    assert CLAIMS.decide(seen(), HOST) == Claim("10.64.0.0/16", 1_000_000_000, 1024)


def test_another_instances_claim_is_kept_off_even_without_its_lines() -> None:
    assert CLAIMS.decide(seen(held=(OTHER,)), HOST) == Claim("10.65.0.0/16", 1_067_108_864, 1024)


def test_the_instances_own_bridges_do_not_stand_in_its_way() -> None:
    networks = (("10.64.0.0/24", "demo-br0"), ("10.65.0.0/24", "othr-br0"))
    assert CLAIMS.decide(seen(networks), HOST).network == "10.64.0.0/16"


def test_a_network_asked_for_is_taken_or_refused_but_not_replaced() -> None:
    asked = Claims(Instance("demo"), network="172.30.0.0/16")
    assert asked.decide(seen(), HOST).network == "172.30.0.0/16"
    with pytest.raises(NoAddressLeft, match=r"172\.30\.0\.0/16"):
        asked.decide(seen((("172.30.4.0/24", "eth1"),)), HOST)


def test_a_held_claim_stays_whatever_has_come_since() -> None:
    mine = HeldClaim("demo", "/srv/demo", Claim("10.80.0.0/16", 2_000_000_000, 8))
    networks = (("10.80.0.0/16", "vpn0"),)
    assert CLAIMS.decide(seen(networks, held=(mine, OTHER)), HOST) == mine.claim


def test_a_prefix_of_another_home_is_refused() -> None:
    with pytest.raises(HostNotReady, match="/srv/elsewhere"):
        CLAIMS.decide(seen(held=(HeldClaim("demo", "/srv/elsewhere", OTHER.claim),)), HOST)


@pytest.mark.parametrize("kept", [Claim("10.64.128.0/17", 3_000_000_000, 1), Claim("10.70.0.0/16", 1_067_000_000, 1)])
def test_a_recorded_claim_that_overlaps_anothers_is_refused(kept: Claim) -> None:
    with pytest.raises(HostNotReady, match="claimed by othr too"):
        CLAIMS.decide(seen(held=(OTHER,)), Host("h1", "one", "local", "/srv/demo", claim=kept))


def test_networks_are_read_from_routes_and_addresses_but_not_from_default_routes() -> None:
    routes = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "0.0.0.0/1", "dev": "tun0"},
        {"type": "unreachable", "dst": "10.1.0.0/16"},
        {"dst": "10.2.3.4", "dev": "eth0"},
    ]
    addresses = [{"ifname": "eth0", "addr_info": [{"local": "10.3.0.7", "prefixlen": 24}]}, {}]
    assert networks_in_use(json.dumps(routes), json.dumps(addresses)) == [
        ("10.1.0.0/16", ""),
        ("10.2.3.4/32", "eth0"),
        ("10.3.0.0/24", "eth0"),
    ]
    assert networks_in_use("", "") == []


@pytest.mark.parametrize("line", ["", "root:x:5", "root:1", "root:1:2:3"])
def test_a_line_that_is_no_range_is_passed_over(line: str) -> None:
    assert subid_range(line) is None


def test_ranges_of_all_users_count() -> None:
    assert subid_range("lxc:100000:65536\n") == (100000, 65536)


def test_a_claim_file_that_can_not_be_read_is_named() -> None:
    with pytest.raises(HostNotReady, match=r"claims/othr\.json can't be read"):
        read_surroundings('state\n[]\n[]\nclaim othr.json {"prefix": "othr"}\n')
