"""What a probe is: a container that serves a file and fetches it from other probes. See `swarm_verify`."""

import io
import tarfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass
from typing import TypeVar

from docker import APIClient
from docker.errors import APIError, ImageNotFound, NotFound

from domain.errors import OverlayFailed
from domain.nodes import Member
from drivers.until import until

LABEL = "io.carina.probe"
BUSYBOX = "/bin/busybox"
"""The node's own, lent to the probe: its image need not have one."""
DNS = "127.0.0.1"
"""Nobody: an unknown name would else be asked for outside, and the wait for that hold up the removal."""
IMAGE = "carina/probe"
IMAGE_TAG = "1"
_GONE_TIMEOUT_S = 20.0
_NOT_FOUND = 404
_CONFLICT = 409
_T = TypeVar("_T")

# A packet that is sent before the overlay knows the way is lost, and TCP sends the next one a second later. So the
# first attempts are short; they get longer for networks that are slow.
SCRIPT = r"""
b=/bin/busybox bytes=$1 patience=$2 linger=$3
shift 3
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
if [ "$1" = --all-of ]; then
  service=$2 count=$3
  until set -- $($b nslookup "$service" 127.0.0.11 2>/dev/null | $b awk '/^Address:/ && !/:53$/ {print $2}')
        [ $# -ge "$count" ] || [ "$($b date +%s)" -ge "$end" ]; do $b usleep 20000; done
fi
echo "asking $*"
for peer; do ask "$peer" & done
wait
trap '$b sleep $linger; exit' TERM
echo asked
$b sleep 120 &
wait
"""


@dataclass(frozen=True, slots=True)
class Times:
    """How long a probe asks before it gives another one up, and how long it lingers once it is dismissed."""

    ask_s: int
    linger_s: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe on a member. `container` is its name or id there, `peer` what the others know it by."""

    member: Member
    engine: APIClient
    container: str
    peer: str


def command(*, packet_bytes: int, times: Times, peers: Sequence[str]) -> list[str]:
    """Return a probe's command. `peers` are names or addresses to ask, or a service's, see `everyone_in`."""
    return [BUSYBOX, "sh", "-c", SCRIPT, "probe", str(packet_bytes), str(times.ask_s), str(times.linger_s), *peers]


def everyone_in(service: str, count: int) -> list[str]:
    """Return the arguments that make a probe ask all `count` tasks of a service: their addresses have one name."""
    return ["--all-of", f"tasks.{service}", str(count)]


def ensure_image(engine: APIClient) -> str:
    """Import the probes' image where somebody removed it; return its id."""
    try:
        return str(engine.inspect_image(f"{IMAGE}:{IMAGE_TAG}")["Id"])
    except ImageNotFound:
        import_image(engine)
        return str(engine.inspect_image(f"{IMAGE}:{IMAGE_TAG}")["Id"])


def import_image(engine: APIClient) -> None:
    """Make the image on a node where somebody removed it: nothing but the places where the node's parts go."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for directory in ("bin", "etc", "probe", "proc", "sys", "tmp"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    engine.import_image_from_data(archive.getvalue(), repository=IMAGE, tag=IMAGE_TAG)


def clear(engine: APIClient, but: str = "") -> None:
    """Remove all probes of an engine, those of a killed check too, but for the one of that name."""
    for probe in engine.containers(all=True, filters={"label": LABEL}):
        if f"/{but}" not in (probe["Names"] or ()):  # one on its way out has lost its name
            remove(engine, probe["Id"])


def dismiss(engine: APIClient, container: str) -> None:
    """Let a probe that has asked all others end soon, and its engine remove it: see `swarm_verify`."""
    try:
        engine.kill(container, signal="TERM")
    except APIError as error:
        if error.status_code not in (_NOT_FOUND, _CONFLICT):
            raise


def remove(engine: APIClient, container: str) -> None:
    """Remove a container, and return when it is gone. None there is no error."""
    try:
        engine.remove_container(container, force=True)
    except APIError as error:
        if error.status_code not in (_NOT_FOUND, _CONFLICT):
            raise
    _await_gone(engine, container)


def _await_gone(engine: APIClient, container: str) -> None:
    """Return once a container that is on its way out is gone; raise `OverlayFailed` if it stays."""
    if not until(lambda: _is_gone(engine, container), _GONE_TIMEOUT_S):
        raise OverlayFailed(f"The container {container} of a proof did not go within {_GONE_TIMEOUT_S:.0f} s.")


def _is_gone(engine: APIClient, container: str) -> bool:
    try:
        engine.inspect_container(container)
    except NotFound:
        return True
    return False


def in_parallel(pool: Executor, function: Callable[[Member], _T], members: Sequence[Member]) -> list[_T]:
    """Call `function` for all members at once, and return when all calls have ended, be it with an error."""
    futures = [pool.submit(function, member) for member in members]
    wait(futures)
    return [future.result() for future in futures]
