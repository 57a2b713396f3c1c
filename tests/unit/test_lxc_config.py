"""What stands in a node's container before its first start."""

import dataclasses
import io
import tarfile

import pytest

from domain.hosts import Host
from domain.nodes import NodeFile, NodePlan, NodeRole, Segment, Stamp
from domain.sizes import Size
from drivers.lxc_config import archive, config_text, machine_id, owner_text, parse_stamp, stamp_text

STAMP = Stamp("demo", "cluster-1", "node-1", "d" * 64)
PLAN = NodePlan(
    host=Host("h", "local", "local", "/srv/carina"),
    name="web-1",
    container="demo-web-1-abcdef",
    role=NodeRole.MANAGER,
    address="10.64.3.10",
    uid_base=1_000_000_000,
    veth="demo-3n1",
    segment=Segment("cluster-1", "demo-br3", "10.64.3.0/24", "10.64.3.1", 1450),
    stamp=STAMP,
    image="d" * 64,
)


def members(plan: NodePlan, files: list[NodeFile]) -> dict[str, tuple[bytes, tarfile.TarInfo]]:
    with tarfile.open(fileobj=io.BytesIO(archive(plan, files))) as tar:
        return {member.name: (tar.extractfile(member).read(), member) for member in tar}


def test_config_gives_the_node_its_address_its_uids_and_the_segments_mtu() -> None:
    lines = config_text(PLAN).splitlines()
    for line in (
        "lxc.uts.name = web-1",
        "lxc.idmap = u 0 1000000000 65536",
        "lxc.idmap = g 0 1000000000 65536",
        "lxc.rootfs.path = dir:/srv/carina/pool/nodes/demo-web-1-abcdef/rootfs",
        "lxc.net.0.link = demo-br3",
        "lxc.net.0.veth.pair = demo-3n1",
        "lxc.net.0.mtu = 1450",
        "lxc.net.0.hwaddr = 02:ca:0a:40:03:0a",
        "lxc.net.0.ipv4.address = 10.64.3.10/24",
        "lxc.net.0.ipv4.gateway = 10.64.3.1",
    ):
        assert lines.count(line) == 1, line


def test_archive_keeps_modes_and_belongs_to_root() -> None:
    content, member = members(PLAN, [NodeFile("/etc/docker/key.pem", b"secret", 0o400)])["rootfs/etc/docker/key.pem"]
    assert content == b"secret"
    assert (member.mode, member.uid, member.gid) == (0o400, 0, 0)


def test_archive_names_the_node_to_itself() -> None:
    found = members(PLAN, [])
    assert found["rootfs/etc/hostname"][0] == b"web-1\n"
    assert b"10.64.3.10 web-1\n" in found["rootfs/etc/hosts"][0]
    assert found["rootfs/etc/machine-id"][0] == f"{machine_id('node-1')}\n".encode()


def test_archive_says_at_its_end_that_it_is_whole() -> None:
    assert list(members(PLAN, [NodeFile("/etc/carina/key", b"secret")]))[-2:] == ["rootfs/etc/carina/key", "whole"]


def test_machine_ids_are_valid_and_differ_between_nodes() -> None:
    assert len(bytes.fromhex(machine_id("node-1"))) == 16
    assert machine_id("node-1") != machine_id("node-2")


@pytest.mark.parametrize("path", ["etc/x", "/etc/../../x", ".."])
def test_archive_refuses_a_path_that_could_leave_the_node(path: str) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        archive(PLAN, [NodeFile(path, b"")])


def test_stamp_reads_back_as_written() -> None:
    assert parse_stamp(stamp_text(STAMP)) == STAMP


def test_stamp_of_a_half_made_container_is_empty() -> None:
    assert parse_stamp("") == Stamp("", "", "", "")


def test_owner_is_the_same_for_another_image_and_another_for_another_node() -> None:
    assert stamp_text(dataclasses.replace(STAMP, image="e" * 64)).startswith(owner_text(STAMP))
    assert not stamp_text(dataclasses.replace(STAMP, node_id="node-12")).startswith(owner_text(STAMP))
    assert not stamp_text(dataclasses.replace(STAMP, node_id="node")).startswith(owner_text(STAMP))


def test_archive_brings_limits_only_to_a_node_with_a_size() -> None:
    assert "size" not in members(PLAN, [])
    limited = dataclasses.replace(PLAN, size=Size(memory_bytes=2**30))
    assert b"lxc.cgroup2.memory.max = 1073741824\n" in members(limited, [])["size"][0]
