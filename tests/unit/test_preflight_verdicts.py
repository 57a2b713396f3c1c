"""What is made of a machine's facts."""

from collections.abc import Mapping

import pytest
from recorded_machines import BARREN, DEBIAN_13, FRESH_DEBIAN_13, MICRO_VM, NOW_S

from domain.hosts import (
    CAP_APPARMOR,
    CAP_ESP,
    CAP_IPVS,
    CAP_LIMITS,
    CAP_LXCFS,
    CAP_QUOTA,
    CAP_WIREGUARD,
    Check,
    CheckState,
    HostReport,
    TunnelEnd,
)
from domain.instance import Instance
from drivers.preflight import judge

DEMO = Instance("demo")
CAP_SIZES = frozenset({CAP_LIMITS, CAP_LXCFS, CAP_QUOTA})
GIB = 2**30


def report(facts: Mapping[str, str], **changed: str) -> HostReport:
    return judge(facts | {name.replace("__", "."): value for name, value in changed.items()}, DEMO, now_s=NOW_S)


def check(name: str, facts: Mapping[str, str], **changed: str) -> Check:
    return next(check for check in report(facts, **changed).checks if check.name == name)


def names(found: HostReport, state: CheckState) -> list[str]:
    return [check.name for check in found.checks if check.state is state]


def test_a_prepared_debian_13_has_nothing_to_mend() -> None:
    found = report(DEBIAN_13)
    assert [check.name for check in found.checks if check.state is not CheckState.OK] == ["IPVS"]  # see below
    assert found.capabilities == {CAP_ESP, CAP_APPARMOR, "cgroup2", *CAP_SIZES}
    assert (found.cgroup_version, found.fit) == (2, True)


@pytest.mark.parametrize(
    ("there", "tried", "state", "detail"),
    [
        ("loaded", "ok", CheckState.OK, "nodes may use it"),
        ("loaded", "Operation not permitted", CheckState.DEGRADED, "refused to nodes: Operation not permitted"),
        ("loadable", "No such file or directory", CheckState.DEGRADED, "once the host is prepared"),
        ("", "No such file or directory", CheckState.DEGRADED, "not in the kernel"),
    ],
)
def test_ipvs_counts_where_nodes_may_use_it(there: str, tried: str, state: CheckState, detail: str) -> None:
    facts = DEBIAN_13 | {"ipvs": there, "try.ipvs": tried}
    found = check("IPVS", facts)
    assert found.state is state
    assert detail in found.detail
    assert (CAP_IPVS in report(facts).capabilities) == (state is CheckState.OK)


def test_a_small_virtual_machine_is_fit_and_says_what_clusters_will_feel() -> None:
    found = report(MICRO_VM)
    assert names(found, CheckState.DEGRADED) == ["IPVS", "ESP", "AppArmor"]
    assert (found.capabilities, found.cgroup_version, found.fit) == (CAP_SIZES, 1, True)
    assert "dnsrr" in check("IPVS", MICRO_VM).meaning
    assert "refused" in check("ESP", MICRO_VM).meaning


def test_what_carina_can_install_or_raise_is_degraded_with_the_command_that_does_it() -> None:
    found = report(FRESH_DEBIAN_13)
    assert found.fit
    assert check("packages", FRESH_DEBIAN_13).remedy == (
        "apt-get install --no-install-recommends lxc lxcfs btrfs-progs uidmap nftables zstd mmdebstrap"
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
        "user namespaces", "bridge and veth", "VXLAN", "nftables", "loop devices", "nested containers",
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


def test_other_firewalls_are_not_called_fine_unseen() -> None:
    found = check("other firewalls", DEBIAN_13, forward__refusing="")
    assert (found.state, found.remedy) == (CheckState.DEGRADED, "apt-get install nftables")


def test_forward_chains_that_refuse_are_found_with_the_rules_that_let_nodes_through() -> None:
    found = check(
        "other firewalls", DEBIAN_13, forward__refusing="looked;ip filter FORWARD;inet firewalld filter_FORWARD"
    )
    assert found.state is CheckState.DEGRADED
    assert found.remedy == (
        "nft insert rule ip filter FORWARD iifname '\"demo-br*\"' accept; "
        "nft insert rule ip filter FORWARD oifname '\"demo-br*\"' accept; "
        "firewall-cmd --permanent --zone=trusted --add-interface='demo-br+'; firewall-cmd --reload"
    )
    assert check("other firewalls", DEBIAN_13, forward__refusing="looked").state is CheckState.OK


def test_a_legacy_forward_chain_that_drops_is_found() -> None:
    assert check("other firewalls", DEBIAN_13, legacy__forward="-P FORWARD DROP;").state is CheckState.DEGRADED
    rejecting = "-P FORWARD ACCEPT;-A FORWARD -o x -j ACCEPT;-A FORWARD -j REJECT --reject-with icmp-port-unreachable;"
    assert check("other firewalls", DEBIAN_13, legacy__forward=rejecting).state is CheckState.DEGRADED
    assert check("other firewalls", DEBIAN_13, legacy__forward=f"{rejecting}-A FORWARD -j x;").state is CheckState.OK
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
    [("cgroup2fs", "cpu cpuset memory pids", CheckState.OK), ("cgroup2fs", "cpu pids", CheckState.DEGRADED)],
)
def test_a_lacking_controller_is_noticed(version: str, controllers: str, state: CheckState) -> None:
    assert check("cgroups", DEBIAN_13 | {"cgroup.type": version, "cgroup.v2": controllers}).state is state


def test_apparmor_without_a_way_to_load_profiles_is_degraded() -> None:
    assert check("AppArmor", DEBIAN_13, apparmor__loads="").state is CheckState.DEGRADED
    assert CAP_APPARMOR not in report(DEBIAN_13, apparmor__loads="").capabilities


def test_what_a_host_has_and_what_is_free_of_it_are_told() -> None:
    found = report(MICRO_VM)
    assert (found.total.cpus, found.free.cpus) == (2.0, 1.75)
    assert (found.total.memory_bytes, found.free.memory_bytes) == (25_276_502_016, 24_464_100_000)
    assert found.total.disk_bytes == found.free.disk_bytes == 82_644_500_480 // 100 * 80
    assert report(MICRO_VM, load="9.00 8.00 7.00").free.cpus == 0


def test_a_sparse_pool_has_no_more_free_than_the_file_system_below() -> None:
    pool = {"pool__free": str(90 * GIB), "pool__total": str(100 * GIB)}
    assert report(MICRO_VM, **pool, pool__kind="file", root__free=str(5 * GIB)).free.disk_bytes == 5 * GIB
    assert report(MICRO_VM, **pool, pool__kind="own", root__free=str(5 * GIB)).free.disk_bytes == 90 * GIB
    assert report(MICRO_VM, **pool, pool__kind="own").total.disk_bytes == 100 * GIB


def test_a_device_for_the_pool_is_the_room_there_will_be() -> None:
    assert report(MICRO_VM, device__bytes=str(500 * GIB), root__free="1000").total.disk_bytes == 500 * GIB
    assert check("disk", MICRO_VM, device__bytes=str(500 * GIB), root__free="1000").state is CheckState.OK


def test_a_device_that_is_not_there_is_missing() -> None:
    assert check("disk", MICRO_VM, device="/dev/nowhere", device__bytes="").state is CheckState.MISSING
    assert check("disk", MICRO_VM, device="/dev/gone", pool__free=str(90 * GIB)).state is CheckState.OK


@pytest.mark.parametrize(
    ("routes", "ssh", "address"),
    [
        ('[{"dst":"default","gateway":"192.0.2.1","dev":"eth0"}]', "", "192.0.2.2"),
        ('[{"dst":"default","dev":"eth0","prefsrc":"192.0.2.7"}]', "", "192.0.2.7"),
        ("[]", "198.51.100.1 4242 192.0.2.2 22", "192.0.2.2"),
        ("[]", "2001:db8::1 4242 2001:db8::2 22", ""),
        ("[]", "", ""),
    ],
)
def test_a_hosts_address_is_that_of_its_default_route_or_of_the_ssh_connection(
    routes: str, ssh: str, address: str
) -> None:
    found = report(MICRO_VM, routes=routes, ssh=ssh)
    assert found.address == address
    state = next(check.state for check in found.checks if check.name == "address")
    assert state is (CheckState.OK if address else CheckState.DEGRADED)


def test_a_host_without_a_default_route_has_the_mtu_of_its_address() -> None:
    assert report(MICRO_VM, routes="[]", ssh="198.51.100.1 4242 192.0.2.2 22").mtu == 1400


def test_a_route_into_the_claimed_network_is_a_conflict_unless_it_is_the_instances_own() -> None:
    claimed = {"claimed": "yes", "claim__network": "10.64.0.0/16"}
    own = '[{"dst":"10.64.3.0/24","dev":"demo-br3"}]'
    strange = '[{"dst":"10.64.3.0/24","dev":"demo-br3"},{"dst":"10.64.0.0/14","dev":"tun0"}]'
    assert check("networks and uids", MICRO_VM, **claimed, routes=own).state is CheckState.OK
    found = check("networks and uids", MICRO_VM, **claimed, routes=strange)
    assert found.state is CheckState.DEGRADED
    assert "10.64.0.0/14 (tun0)" in found.detail


def test_a_clock_read_while_the_answer_was_on_its_way_is_not_wrong() -> None:
    found = judge(DEBIAN_13, DEMO, now_s=NOW_S - 40, took_s=41)
    assert next(check.state for check in found.checks if check.name == "clock") is CheckState.OK


def test_quotas_on_a_file_system_that_is_shared_are_left_to_its_owner() -> None:
    off = {"pool__free": str(90 * GIB), "pool__kind": "shared"}
    assert check("disk quota", DEBIAN_13, **off).state is CheckState.DEGRADED
    assert CAP_QUOTA not in report(DEBIAN_13, **off).capabilities
    assert check("disk quota", DEBIAN_13, **off, pool__quota="squota").state is CheckState.OK
    assert CAP_QUOTA in report(DEBIAN_13, **off, pool__quota="squota").capabilities


def test_a_kernel_with_full_quotas_alone_limits_disks_and_says_what_it_lacks() -> None:
    older = {"try__simple_quota": "simple quota: Invalid argument", "btrfs__simple": ""}
    found = check("disk quota", DEBIAN_13, **older)
    assert found.state is CheckState.DEGRADED
    assert "not counted" in found.meaning
    assert CAP_QUOTA in report(DEBIAN_13, **older).capabilities
    assert CAP_QUOTA not in report(DEBIAN_13, **older, try__quota="Operation not permitted").capabilities


def test_a_pool_that_nothing_could_be_tried_for_has_the_quotas_that_the_kernel_names() -> None:
    untried = {"try__simple_quota": "", "try__quota": "", "pool__free": str(90 * GIB), "pool__kind": "own"}
    assert CAP_QUOTA in report(DEBIAN_13, **untried).capabilities
    assert CAP_QUOTA not in report(DEBIAN_13, **untried, btrfs__simple="").capabilities


def test_lxcfs_that_died_is_not_taken_for_one_that_could_be_started() -> None:
    assert check("lxcfs", DEBIAN_13, lxcfs="mounted").detail == "runs"
    assert "umount" in check("lxcfs", DEBIAN_13, lxcfs="dead").remedy
    assert CAP_LXCFS not in report(DEBIAN_13, lxcfs="dead").capabilities


def test_a_container_that_can_not_be_nested_is_missing_with_what_was_said() -> None:
    found = check("nested containers", DEBIAN_13, try__container="mount: permission denied")
    assert found.state is CheckState.MISSING
    assert found.detail.endswith("mount: permission denied")


def test_no_loop_device_matters_only_where_the_pool_is_a_file() -> None:
    assert check("loop devices", DEBIAN_13, loop="").state is CheckState.MISSING
    for elsewhere in ({"device__bytes": "1"}, {"root__filesystem": "btrfs"}, {"pool__free": "1"}):
        assert check("loop devices", DEBIAN_13, loop="", **elsewhere).state is CheckState.OK


def test_seccomp_is_known_from_the_container_that_was_tried_or_else_from_the_kernel() -> None:
    assert check("seccomp", DEBIAN_13).detail.startswith("tried")
    assert check("seccomp", DEBIAN_13, trial__seccomp="").state is CheckState.OK
    assert check("seccomp", DEBIAN_13, trial__seccomp="", seccomp="").state is CheckState.DEGRADED


def test_wireguard_is_looked_at_where_it_is_wanted() -> None:
    def found(**facts: str) -> HostReport:
        changed = {name.replace("__", "."): value for name, value in facts.items()}
        return judge(DEBIAN_13 | changed, DEMO, now_s=NOW_S, wireguard=True)

    def line(report: HostReport) -> Check:
        return next(check for check in report.checks if check.name == "WireGuard")

    whole = report(DEBIAN_13).mtu
    without = found(try__wireguard="Unknown device type")
    assert line(without).state is CheckState.DEGRADED
    assert "modprobe wireguard" in line(without).remedy
    assert (without.tunnel, without.mtu) == (None, whole)
    assert line(found(try__wireguard="ok")).state is CheckState.OK
    ready = found(try__wireguard="ok", tunnel="51820 somekey=")
    assert ready.tunnel == TunnelEnd(51820, "somekey=")
    assert ready.mtu == whole - 60
    assert CAP_WIREGUARD in ready.capabilities
    unwanted = report(DEBIAN_13, tunnel="51820 somekey=")
    assert (unwanted.tunnel, unwanted.mtu) == (None, whole)
    assert "WireGuard" not in {check.name for check in unwanted.checks}
