"""Proves an overlay network from inside: a container on each member asks those on all the others. Blocks.

The probes start in parallel. Each serves a file that is larger than several packets, and fetches it from every other by
name: that needs the name to be known, the address to answer, and full packets to pass. All are removed afterwards, and
those that a killed check left are removed first.
"""

import io
import secrets
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from docker import APIClient
from docker.errors import APIError

from domain.errors import OverlayFailed, OverlayUnreachable
from domain.nodes import Member
from domain.overlays import Overlay
from drivers.docker_client import Engines, redacted

LABEL = "io.carina.probe"
_IMAGE = "carina/probe"
_IMAGE_TAG = "1"
_BUSYBOX = "/bin/busybox"
_POLL_S = 0.02
_PACKETS = 8
_PATIENCE_S = 10
_PATIENCE_PER_MEMBER_S = 0.5
_MARGIN_S = 15
_PARALLEL = 16
_NOT_FOUND = 404
_CONFLICT = 409
_GONE = frozenset({_NOT_FOUND, _CONFLICT})

# A packet that is sent before the overlay knows the way is lost, and TCP sends the next one a second later. So the
# first attempts are short; they get longer for networks that are slow.
_SCRIPT = r"""
b=/bin/busybox bytes=$1 patience=$2
shift 2
$b head -c "$bytes" /dev/zero > /probe/packets
echo here > /probe/word
$b httpd -p 8080 -h /probe
end=$(($($b date +%s) + patience))
fetch() { $b timeout "$3" $b wget -q -O - "http://$1:8080/$2" 2>/dev/null; }
ask() {
  pause_ms=100
  until [ "$(fetch "$1" packets $((pause_ms / 1000)).$((pause_ms % 1000 / 100)) | $b wc -c)" -eq "$bytes" ]; do
    if [ "$($b date +%s)" -ge "$end" ]; then
      if [ "$(fetch "$1" word 2)" = here ]; then echo "lost $1 packets"
      elif $b nslookup "$1" 127.0.0.11 >/dev/null 2>&1; then echo "lost $1 answer"
      else echo "lost $1 name"; fi
      return
    fi
    $b usleep 20000
    [ $pause_ms -ge 2000 ] || pause_ms=$((pause_ms + 100))
  done
}
for peer; do ask "$peer" & done
wait
echo asked
exec $b sleep 120
"""
_MEANINGS = {
    "packets": "it answers, but full packets get lost: the MTU on the way is smaller than the overlay's",
    "answer": "its name is known, but it does not answer",
    "name": "its name is not known",
}


@dataclass(frozen=True, slots=True)
class _Probe:
    """A probe's container. `name` is its name on the overlay."""

    member: Member
    engine: APIClient
    name: str


def verify(engines: Engines, members: Sequence[Member], overlay: Overlay) -> None:
    """Check that probes on all members reach each other; raise `OverlayUnreachable` naming who does not reach whom."""
    token = secrets.token_hex(3)  # names of their own, so that nobody remembers an earlier probe's address
    probes = [
        _Probe(member, engines.at(member.address), f"probe-{token}-{number}") for number, member in enumerate(members)
    ]
    patience_s = _PATIENCE_S + int(_PATIENCE_PER_MEMBER_S * len(members))
    with ThreadPoolExecutor(min(len(probes), _PARALLEL), thread_name_prefix="probe") as pool, _removed(pool, probes):
        list(pool.map(lambda probe: _start(probe, probes, overlay, patience_s), probes))
        deadline = monotonic() + patience_s + _MARGIN_S
        outputs = list(pool.map(lambda probe: _output(probe, deadline), probes))
    names = {probe.name: probe.member.name for probe in probes}
    lost = [line for probe, output in zip(probes, outputs, strict=True) for line in _lost(probe, output, names)]
    if lost:
        raise OverlayUnreachable(f"On the overlay network {overlay.name}: {'; '.join(lost)}.")


@contextmanager
def _removed(pool: ThreadPoolExecutor, probes: Sequence[_Probe]) -> Iterator[None]:
    try:
        yield
    finally:
        list(pool.map(lambda probe: _remove(probe.engine, probe.name), probes))


def _start(probe: _Probe, probes: Sequence[_Probe], overlay: Overlay, patience_s: int) -> None:
    for leftover in probe.engine.containers(all=True, filters={"label": LABEL}):
        _remove(probe.engine, leftover["Id"])
    peers = [other.name for other in probes if other is not probe] or [probe.name]
    config = _config(overlay, [str(_PACKETS * overlay.mtu), str(patience_s), *peers])
    try:
        try:
            probe.engine.create_container_from_config(config, name=probe.name)
        except APIError as error:
            if error.status_code != _NOT_FOUND:
                raise
            _import_image(probe.engine)
            probe.engine.create_container_from_config(config, name=probe.name)
        probe.engine.start(probe.name)
    except APIError as error:
        reason = redacted(str(error.explanation))
        raise OverlayFailed(
            f"{probe.member.name} could not start a container on the overlay network {overlay.name}: {reason}"
        ) from None


def _config(overlay: Overlay, arguments: Sequence[str]) -> Mapping[str, Any]:
    return {
        "Image": f"{_IMAGE}:{_IMAGE_TAG}",
        "Entrypoint": [_BUSYBOX, "sh", "-c", _SCRIPT, "probe", *arguments],
        "Cmd": [],
        "Labels": {LABEL: overlay.name},
        "HostConfig": {
            "Binds": [f"{_BUSYBOX}:{_BUSYBOX}:ro"],  # the node's own: the image need not have one
            "Dns": ["127.0.0.1"],  # nobody: an unknown name would else be asked for outside, and hold up the removal
            "LogConfig": {"Type": "json-file", "Config": {}},
            "NetworkMode": overlay.name,
            "Tmpfs": {"/probe": "size=4m"},
        },
        "NetworkingConfig": {"EndpointsConfig": {overlay.name: {}}},
    }


def _import_image(engine: APIClient) -> None:
    """Make the image on a node where somebody removed it: nothing but the places where the node's parts go."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for directory in ("bin", "etc", "probe", "proc", "sys", "tmp"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    engine.import_image_from_data(archive.getvalue(), repository=_IMAGE, tag=_IMAGE_TAG)


def _output(probe: _Probe, deadline: float) -> list[str]:
    """Return what the probe printed, once it has asked all the others."""
    while monotonic() < deadline:
        lines = probe.engine.logs(probe.name).decode(errors="replace").split("\n")
        if "asked" in lines:
            return lines
        sleep(_POLL_S)
    raise OverlayFailed(f"The probe on {probe.member.name} did not end in time; it said: {' '.join(lines)}")


def _lost(probe: _Probe, output: Sequence[str], names: Mapping[str, str]) -> Iterator[str]:
    for line in output:
        if line.startswith("lost "):
            _, peer, what = line.split(" ", 2)
            yield f"{probe.member.name} does not reach {names[peer]} ({_MEANINGS[what]})"


def _remove(engine: APIClient, container: str) -> None:
    try:
        engine.remove_container(container, force=True)
    except APIError as error:
        if error.status_code not in _GONE:
            raise
