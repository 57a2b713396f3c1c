"""What is made of a machine's facts."""

from collections.abc import Mapping

import pytest
from recorded_machines import BARREN, DEBIAN_13, FRESH_DEBIAN_13, MICRO_VM, NOW_S

from domain.hosts import CAP_APPARMOR, CAP_ESP, CAP_IPVS, Check, CheckState, HostReport
from domain.instance import Instance
from drivers.preflight import judge

DEMO = Instance("demo")


def report(facts: Mapping[str, str], **changed: str) -> HostReport:
    return judge(facts | {name.replace("__", "."): value for name, value in changed.items()}, DEMO, now_s=NOW_S)


def check(name: str, facts: Mapping[str, str], **changed: str) -> Check:
    return next(check for check in report(facts, **changed).checks if check.name == name)


def names(found: HostReport, state: CheckState) -> list[str]:
    return [check.name for check in found.checks if check.state is state]


def test_a_prepared_debian_13_has_nothing_to_mend() -> None:
    found = report(DEBIAN_13)
    assert names(found, CheckState.OK) == [check.name for check in found.checks]
    assert found.capabilities == {CAP_ESP, CAP_IPVS, CAP_APPARMOR, "cgroup2"}
    assert (found.cgroup_version, found.fit) == (2, True)


def test_a_small_virtual_machine_is_fit_and_says_what_clusters_will_feel() -> None:
    found = report(MICRO_VM)
    assert names(found, CheckState.DEGRADED) == ["IPVS", "ESP", "AppArmor"]
    assert (found.capabilities, found.cgroup_version, found.fit) == (frozenset(), 1, True)
    assert "dnsrr" in check("IPVS", MICRO_VM).meaning
    assert "refused" in check("ESP", MICRO_VM).meaning


def test_what_carina_can_install_or_raise_is_degraded_with_the_command_that_does_it() -> None:
    found = report(FRESH_DEBIAN_13)
    assert found.fit
    assert check("packages", FRESH_DEBIAN_13).remedy == (
        "apt-get install --no-install-recommends lxc btrfs-progs mmdebstrap uidmap nftables zstd"
    )
    assert check("kernel settings", FRESH_DEBIAN_13).remedy == (
        "sysctl -w net.ipv4.ip_forward=1 kernel.keys.maxkeys=20000"
    )
    assert check("nftables", FRESH_DEBIAN_13).detail == "can't be tried without nft"


def test_a_barren_machine_is_unfit_and_each_missing_point_has_a_remedy() -> None:
    found = report(BARREN)
    assert not found.fit
    assert set(names(found, CheckState.MISSING)) == {
        "LXC", "networks and uids", "disk", "kernel", "cgroups", "overlayfs", "btrfs", "idmapped mounts",
        "user namespaces", "bridge and veth", "VXLAN", "nftables",
    }  # fmt: skip
    assert [check.name for check in found.checks if check.state is CheckState.MISSING and not check.remedy] == []
    assert [check.name for check in found.checks if check.state is not CheckState.OK and not check.meaning] == []


def test_no_facts_at_all_are_no_host() -> None:
    found = report({})
    assert not found.fit
    assert (found.capabilities, found.mtu) == (frozenset(), 1500)


def test_packages_without_apt_are_required() -> None:
    assert check("packages", FRESH_DEBIAN_13, apt="").state is CheckState.MISSING


@pytest.mark.parametrize(("fact", "package"), [("apparmor", "apparmor"), ("modules", "kmod")])
def test_what_a_feature_of_the_kernel_needs_is_asked_for_only_with_it(fact: str, package: str) -> None:
    bare = DEBIAN_13 | {"command.apparmor_parser": "", "command.modprobe": "", "apparmor": "", "modules": ""}
    assert check("packages", bare).state is CheckState.OK
    assert check("packages", bare | {fact: "yes"}).detail == f"missing: {package}"


def test_one_who_is_not_root_is_told_so() -> None:
    tried = {name: "" for name in DEBIAN_13 if name.startswith("try.")}
    found = report(DEBIAN_13 | tried | {"uid": "1000"})
    assert names(found, CheckState.MISSING) == ["root"]
    assert check("VXLAN", DEBIAN_13 | tried | {"uid": "1000"}).detail == "only root can try it"


@pytest.mark.parametrize("name", ["overlay", "btrfs", "idmap", "userns", "bridge", "vxlan", "firewall"])
def test_a_failed_trial_of_something_required_says_what_was_said(name: str) -> None:
    found = judge(DEBIAN_13 | {f"try.{name}": "Operation not supported"}, DEMO, now_s=NOW_S)
    missing = [check for check in found.checks if check.state is CheckState.MISSING]
    assert [check.detail for check in missing] == ["tried: Operation not supported"]


def test_a_root_on_btrfs_needs_no_loop_device() -> None:
    assert (
        check("btrfs", DEBIAN_13 | {"try.btrfs": "no loop device", "root.filesystem": "btrfs"}).state is CheckState.OK
    )


def test_the_mtu_is_the_lowest_of_the_default_routes_interfaces() -> None:
    assert report(MICRO_VM).mtu == 1400
    two = '[{"dst":"default","dev":"eth0"},{"dst":"default","dev":"slow0","metric":9}]'
    assert report(MICRO_VM, routes=two).mtu == 1280
    assert report(MICRO_VM, routes="[]").mtu == 1500


def test_a_forward_chain_that_drops_is_found_with_the_rules_that_let_nodes_through() -> None:
    chain = '{"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}}'
    found = check("other firewalls", DEBIAN_13, chains=f'{{"nftables": [{chain}]}}')
    assert found.state is CheckState.DEGRADED
    assert found.remedy == (
        "nft insert rule ip filter FORWARD iifname '\"demo-br*\"' accept; "
        "nft insert rule ip filter FORWARD oifname '\"demo-br*\"' accept"
    )
    mended = check("other firewalls", DEBIAN_13, chains=f'{{"nftables": [{chain}]}}', rules__mention="2")
    assert mended.state is CheckState.OK


def test_a_legacy_forward_chain_that_drops_is_found() -> None:
    assert check("other firewalls", DEBIAN_13, legacy__forward="-P FORWARD DROP;").state is CheckState.DEGRADED
    allowed = "-P FORWARD DROP;-A FORWARD -i demo-br+ -j ACCEPT;"
    assert check("other firewalls", DEBIAN_13, legacy__forward=allowed).state is CheckState.OK


def test_a_full_pool_is_degraded_but_no_room_for_a_pool_is_missing() -> None:
    assert check("disk", DEBIAN_13, root__free="1000").state is CheckState.MISSING
    assert check("disk", DEBIAN_13, pool__free="1000").state is CheckState.DEGRADED
    assert check("disk", DEBIAN_13, root__free="1000", pool__free="90000000000").state is CheckState.OK


def test_a_claimed_host_needs_no_free_network() -> None:
    assert check("networks and uids", BARREN, claimed="yes").state is CheckState.OK


@pytest.mark.parametrize(("now_s", "state"), [(NOW_S + 29, CheckState.OK), (NOW_S - 31, CheckState.DEGRADED)])
def test_clocks_half_a_minute_apart_are_noticed(now_s: float, state: CheckState) -> None:
    found = judge(DEBIAN_13, DEMO, now_s=now_s)
    assert next(check.state for check in found.checks if check.name == "clock") is state


@pytest.mark.parametrize(
    ("version", "controllers", "state"),
    [("cgroup2fs", "cpu memory pids", CheckState.OK), ("cgroup2fs", "cpu pids", CheckState.DEGRADED)],
)
def test_a_lacking_controller_is_noticed(version: str, controllers: str, state: CheckState) -> None:
    assert check("cgroups", DEBIAN_13 | {"cgroup.type": version, "cgroup.v2": controllers}).state is state
