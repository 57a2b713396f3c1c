"""`python -m tests.bench.kubernetes_handmade KEYS SUBNET FIRST LAST`: the files of the shortest script's nodes.

One process makes the cluster's authorities and keys (the first time; they are kept in the directory KEYS), and for each
node a tar of the files that go into its root, whole when it is there: KEYS/node-N.tar. What is in them is what Carina
writes, by its own module; it is the least that a node needs. Beside them lie the keys of a person who may do all.
"""

import io
import pickle
import sys
import tarfile
from pathlib import Path

from domain.clusters import kubernetes_type
from domain.facts import ClusterFacts
from domain.hosts import Host
from domain.nodes import Member, NodeFile, NodePlan, NodeRole, Segment, Stamp
from domain.options import POD_DEFAULT, SERVICE_DEFAULT, ClusterOptions
from domain.secrets import ClusterKeys, KeyPair
from drivers import kubernetes_files, kubernetes_keys
from drivers.pki import CertificatePki

CLUSTER = "handmade"
MTU = 1500


def main() -> None:
    directory, subnet, first, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    pki = CertificatePki()
    keys = _keys(pki, directory)
    options = ClusterOptions(pod_subnet=str(POD_DEFAULT), service_subnet=str(SERVICE_DEFAULT))
    segment = Segment(CLUSTER, "", f"{subnet}.0/24", f"{subnet}.1", MTU, str(POD_DEFAULT))
    cluster = ClusterFacts(CLUSTER, CLUSTER, kubernetes_type(20, "1.35.4"), segment, options)
    manager = Member("", "node-1", NodeRole.MANAGER, f"{subnet}.10")
    for number in range(first, last + 1):
        plan = _plan(number, subnet, segment)
        files = kubernetes_files.node_files(pki, cluster, plan, manager, keys)
        _place(directory / f"node-{number}.tar", _archive(files))
    if first == 1:
        person = pki.client(keys.authority, name="person", groups=("system:masters",))
        for name, content in (
            ("ca.pem", keys.authority.cert_pem),
            ("cert.pem", person.cert_pem),
            ("key.pem", person.key_pem),
        ):
            _place(directory / name, content)


def _keys(pki: CertificatePki, directory: Path) -> ClusterKeys:
    kept = directory / "keys"
    if kept.exists():
        cert_pem, key_pem, more = pickle.loads(kept.read_bytes())  # noqa: S301 - it wrote them itself
        return ClusterKeys(KeyPair(cert_pem, key_pem), more)
    keys = ClusterKeys(pki.authority(CLUSTER), kubernetes_keys.keys(pki, CLUSTER))
    kept.write_bytes(pickle.dumps((keys.authority.cert_pem, keys.authority.key_pem, dict(keys.more))))
    return keys


def _plan(number: int, subnet: str, segment: Segment) -> NodePlan:
    return NodePlan(
        host=Host("", "local", "local", ""),
        name=f"node-{number}",
        container="",
        role=NodeRole.MANAGER if number == 1 else NodeRole.WORKER,
        address=f"{subnet}.{9 + number}",
        uid_base=0,
        veth="",
        segment=segment,
        stamp=Stamp("", "", "", ""),
        image="",
    )


def _archive(files: list[NodeFile] | tuple[NodeFile, ...]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file in files:
            member = tarfile.TarInfo(file.path.lstrip("/"))
            member.size, member.mode = len(file.content), file.mode
            tar.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()


def _place(path: Path, content: bytes) -> None:
    """Write a file that is whole as soon as it is there."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.rename(path)


if __name__ == "__main__":
    main()
