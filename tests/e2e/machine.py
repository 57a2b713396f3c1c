"""What an instance has on this machine, as the machine itself tells it."""

import json
import subprocess
from pathlib import Path

from installation import Installation


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def containers(installation: Installation) -> set[str]:
    """Names of all containers, half-made ones under their own names with a dot in front."""
    if not installation.nodes_dir.is_dir():
        return set()
    entries = {path.name for path in installation.nodes_dir.iterdir()}
    return {name for name in entries if not name.startswith(".lock-")}


def running(installation: Installation) -> set[str]:
    """Names of the containers that run."""
    if not installation.nodes_dir.is_dir():
        return set()
    return set(run("lxc-ls", "-P", str(installation.nodes_dir), "--running", "-1").split())


def links(installation: Installation) -> set[str]:
    """Bridges and interfaces of the instance."""
    found = {link["ifname"] for link in json.loads(run("ip", "-json", "link", "show"))}
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
    attach = ("lxc-attach", "-P", str(installation.nodes_dir), "-n", container, "--clear-env", "--")
    return subprocess.run(
        (*attach, *command), capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
    )


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
