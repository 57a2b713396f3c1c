"""What an instance has on its hosts, this machine and those of its rack, as these themselves tell it."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from installation import Installation


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Place:
    """Where nodes are: `before` is what goes before a command to run it there, `nodes_dir` the lxcpath there.

    `seen` is where this machine sees that directory.
    """

    before: Sequence[str]
    nodes_dir: str
    seen: Path


def places(installation: Installation) -> list[Place]:
    """The hosts that have room for nodes of the instance."""
    on_rack = f"/var/lib/carina/{installation.prefix}/pool/nodes"
    found = [Place((), str(installation.nodes_dir), installation.nodes_dir)]
    found += [Place(host.attach(), on_rack, host.disk / on_rack.removeprefix("/")) for host in installation.rack or ()]
    return [place for place in found if place.seen.is_dir()]


def containers(installation: Installation) -> set[str]:
    """Names of all containers, half-made ones under their own names with a dot in front."""
    entries = {path.name for place in places(installation) for path in place.seen.iterdir()}
    return {name for name in entries if not name.startswith(".lock-")}


def place_of(installation: Installation, container: str) -> Place:
    """The host that has the container."""
    return next(place for place in places(installation) if (place.seen / container).exists())


def running(installation: Installation) -> set[str]:
    """Names of the containers that run."""
    listed = (run(*place.before, "lxc-ls", "-P", place.nodes_dir, "--running", "-1") for place in places(installation))
    return {name for names in listed for name in names.split()}


def links(installation: Installation) -> set[str]:
    """Bridges and interfaces of the instance. Those of one cluster have the same names on all hosts."""
    befores = [(), *(host.attach() for host in installation.rack or ())]
    listed = [json.loads(run(*before, "ip", "-json", "link", "show")) for before in befores]
    found = {link["ifname"] for links in listed for link in links}
    return {name for name in found if name.startswith(f"{installation.prefix}-")}


def bridges(installation: Installation) -> set[str]:
    return {name for name in links(installation) if name.startswith(f"{installation.prefix}-br")}


def has_table(installation: Installation) -> bool:
    return f"carina_{installation.prefix}" in run("nft", "list", "tables")


def mounts(installation: Installation) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{installation.directory}/")]


def loop_devices(installation: Installation) -> list[str]:
    lines = run("losetup", "--noheadings", "--output", "NAME,BACK-FILE", "--list").splitlines()
    return [line.split()[0] for line in lines if f"{installation.directory}/" in line]


def subuid_lines(first: int) -> list[str]:
    files = (Path("/etc/subuid"), Path("/etc/subgid"))
    return [line for file in files for line in file.read_text().splitlines() if line.startswith(f"root:{first}:")]


def claim_file(installation: Installation) -> Path:
    return Path(f"/etc/carina/claims/{installation.prefix}.json")


def processes(installation: Installation) -> list[str]:
    """Processes on the host that have the instance's home on their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            argv = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        if str(installation.home) in argv and "carinad down" not in argv:
            found.append(f"{entry.name}: {argv}")
    return found


def in_node(installation: Installation, container: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command inside a node."""
    place = place_of(installation, container)
    attach = ("lxc-attach", "-P", place.nodes_dir, "-n", container, "--clear-env", "--")
    return subprocess.run(
        (*place.before, *attach, *command),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
