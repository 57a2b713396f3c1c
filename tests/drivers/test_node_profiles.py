"""A node's AppArmor profile: that it is one, and that hosts load and unload it with its node."""

import subprocess
from pathlib import Path

import pytest

from drivers.apparmor import profile_text
from drivers.image_recipe import part

ABI = Path("/etc/apparmor.d/abi")
NODE = "demo-web-1-abcdef"


def parsed(text: str, features: str) -> subprocess.CompletedProcess[bytes]:
    """Compile a profile as for a kernel with those features, and load nothing."""
    command = (
        "apparmor_parser",
        "--skip-kernel-load",
        "--skip-cache",
        "--stdout",
        "--kernel-features",
        str(ABI / features),
    )
    return subprocess.run(command, input=text.encode(), capture_output=True, check=False)


@pytest.mark.parametrize("features", ["3.0", "kernel-5.4-vanilla", "kernel-5.4-outoftree-network"])
def test_the_parser_takes_the_profile_for_kernels_of_all_kinds(features: str) -> None:
    done = parsed(profile_text(NODE), features)
    assert done.returncode == 0, done.stderr.decode()
    assert f"lxc-carina-{NODE}".encode() in done.stdout
    assert len(done.stdout) > 5000


def test_the_parser_would_tell_of_a_mistake() -> None:
    assert parsed(profile_text(NODE).replace("deny mount", "deny muont"), "3.0").returncode != 0


def bash(place: Path, script: str, *args: str) -> str:
    """Run what the scripts do about profiles, with a directory in place of the kernel's files."""
    front = (
        part("node_profile")
        + """
apparmor_switch=$1/enabled apparmor_files=$1/kernel place=$1
apparmor_parser() { echo "$*" >> "$place/parser"; }
shift
"""
    )
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", front + script, "test", str(place), *args],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A node's directory in `nodes`, and a kernel that enforces AppArmor."""
    (tmp_path / "nodes" / NODE).mkdir(parents=True)
    (tmp_path / "nodes" / NODE / "apparmor").write_text(profile_text(NODE))
    (tmp_path / "kernel").mkdir()
    for file in (".replace", ".remove", "profiles"):
        (tmp_path / "kernel" / file).touch()
    (tmp_path / "enabled").write_text("Y\n")
    return tmp_path


def test_a_host_that_enforces_loads_the_profile_and_names_it(place: Path) -> None:
    node = str(place / "nodes" / NODE)
    said = bash(place, 'profile_config "$1" "$2"', node, NODE)
    assert said == f"lxc.apparmor.profile = lxc-carina-{NODE}\n"
    assert (place / "parser").read_text() == f"--replace --skip-cache {node}/apparmor\n"


@pytest.mark.parametrize(
    ("gone", "profile"), [("enabled", "unconfined"), ("kernel/.replace", "unchanged"), (f"nodes/{NODE}/apparmor", "")]
)
def test_a_host_that_can_not_load_it_loads_none(place: Path, gone: str, profile: str) -> None:
    (place / gone).unlink()
    said = bash(place, 'profile_config "$1" "$2"', str(place / "nodes" / NODE), NODE)
    assert said == (f"lxc.apparmor.profile = {profile}\n" if profile else "")
    assert not (place / "parser").exists()


def test_a_removed_nodes_profile_is_unloaded(place: Path) -> None:
    bash(place, 'unload_profile "$1"', NODE)
    assert (place / "kernel" / ".remove").read_text() == f"lxc-carina-{NODE}"


def test_profiles_of_containers_that_are_no_more_are_swept_and_no_others(place: Path) -> None:
    kept = [f"lxc-carina-{NODE}", "lxc-carina-othe-web-1-abcdef", "lxc-container-default", "lxc-carina-demonstration"]
    loaded = [*kept, "lxc-carina-demo-web-2-abcdef"]
    (place / "kernel" / "profiles").write_text("".join(f"{name} (enforce)\n" for name in loaded))
    bash(place, 'sweep_profiles "$1" "$2"', str(place / "nodes"), "demo-web-9-abcdef")
    assert (place / "kernel" / ".remove").read_text() == "lxc-carina-demo-web-2-abcdef"
