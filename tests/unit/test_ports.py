import json
import socket
from pathlib import Path

from worker.ports import PREFERRED, claim_ports, release_ports


def home_of(directory: Path, name: str) -> Path:
    home = directory / name
    home.mkdir()
    (home / "instance.json").write_text("{}")
    return home


def test_an_instance_keeps_its_ports(tmp_path: Path) -> None:
    home = home_of(tmp_path, "one")
    first = claim_ports("aaaa", home, PREFERRED, registry=tmp_path / "ports")
    assert claim_ports("aaaa", home, first, registry=tmp_path / "ports") == first


def test_a_stopped_instance_keeps_its_ports_from_others(tmp_path: Path) -> None:
    registry = tmp_path / "ports"
    first = claim_ports("aaaa", home_of(tmp_path, "one"), PREFERRED, registry=registry)
    second = claim_ports("bbbb", home_of(tmp_path, "two"), first, registry=registry)
    assert not set(first) & set(second)


def test_ports_that_another_process_has_taken_are_changed(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chosen = claim_ports("aaaa", home_of(tmp_path, "one"), (port, port), registry=tmp_path / "ports")
    assert port not in chosen


def test_ports_of_a_home_that_is_gone_are_free_again(tmp_path: Path) -> None:
    registry = tmp_path / "ports"
    registry.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    gone = {"home": str(tmp_path / "gone"), "ports": [port, port]}
    (registry / "gone.json").write_text(json.dumps(gone))
    assert claim_ports("aaaa", home_of(tmp_path, "one"), (port, port), registry=registry) == (port, port)
    assert not (registry / "gone.json").exists()


def test_released_ports_are_given_to_the_next(tmp_path: Path) -> None:
    registry = tmp_path / "ports"
    first = claim_ports("aaaa", home_of(tmp_path, "one"), PREFERRED, registry=registry)
    release_ports("aaaa", registry=registry)
    release_ports("aaaa", registry=registry)
    assert claim_ports("bbbb", home_of(tmp_path, "two"), first, registry=registry) == first
