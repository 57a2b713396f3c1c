"""What a probe is: a pod that serves files, and asks others for theirs when it is told to. See `kubernetes_verify`.

A probe is spoken to line by line (`kubernetes_attach`) and answers in lines. It has no volumes and no token, and is
bound to its node from the beginning: nothing has to be waited for but the start of its one process.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from domain.errors import OverlayFailed
from domain.nodes import Member
from drivers.kubernetes_attach import Attachment, NotAttached
from drivers.kubernetes_client import Api, Object
from drivers.kubernetes_files import node_name

LABEL = "io.carina.probe"
IMAGE = "docker.io/carina/probe:1"
OPEN_PORT = 8080
CLOSED_PORT = 8081
"""The port that probes serve but a policy closes."""
PARALLEL = 32
"""So many probes are spoken to at once."""
Answers = Sequence[Sequence[str]]
"""The words of each line that a probe said."""
_POLL_S = 0.05
_START_TIMEOUT_S = 60.0
_T = TypeVar("_T")
_S = TypeVar("_S")

# A packet that is sent before its way is known is lost, and TCP sends the next one a second later. So the first
# attempts are short; they get longer for networks that are slow.
SCRIPT = r"""
bytes=$1
shift
mkdir -p /tmp/probe
head -c "$bytes" /dev/zero > /tmp/probe/packets
echo here > /tmp/probe/word
for port; do httpd -p "$port" -h /tmp/probe; done
fetch() { timeout "$3" wget -q -O - "http://$1/$2" 2>/dev/null; }
try() { # patience_s command..., with the seconds that an attempt may take: again and again
  end=$(($(date +%s) + $1)) pause_ms=200
  shift
  until "$@" $((pause_ms / 1000)).$((pause_ms % 1000 / 100)); do
    [ "$(date +%s)" -lt "$end" ] || return 1
    usleep 20000
    [ $pause_ms -ge 2000 ] || pause_ms=$((pause_ms + 200))
  done
}
packets() { [ "$(fetch "$1" packets "$2" | wc -c)" -eq "$bytes" ]; }
word() { [ "$(fetch "$1" word "$2")" = here ]; }
resolved() { timeout "$3" nslookup -type=a "$1" 2>/dev/null | grep -q "^Address.* $2\$"; }
reach() {
  if try "$2" packets "$1"; then echo "reached $1"
  elif word "$1" 2; then echo "lost $1 packets"
  else echo "lost $1 answer"; fi
}
knock() { if try "$2" word "$1"; then echo "open $1"; else echo "shut $1"; fi; }
ask() { # what patience_s peer...
  what=$1 patience=$2
  shift 2
  for peer; do "$what" "$peer" "$patience" & done
  wait
  echo "asked $what"
}
serve() { # patience_s address
  if try "$1" word "$2"; then echo "served"; else echo "unserved"; fi
  echo "asked serve"
}
name() { # patience_s name address
  if try "$1" resolved "$2" "$3"; then echo "named"; else echo "nameless"; fi
  echo "asked name"
}
while read -r command; do
  set -- $command
  case $1 in
    address) echo "address $(hostname -i)" ;;
    reach|knock) ask "$@" & ;;
    serve|name) "$@" & ;;
  esac
done
"""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A probe that is to be: on which node, under which name, and what it serves."""

    member: Member
    namespace: str
    name: str
    ports: Sequence[int] = (OPEN_PORT, CLOSED_PORT)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"{pods(self.namespace)}/{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """A probe that runs. `address` is its own, in the pod network."""

    probe: Probe
    address: str
    attachment: Attachment

    @property
    def member(self) -> Member:
        """The node that it is on."""
        return self.probe.member

    def ask(self, what: str, *arguments: object) -> None:
        """Tell it to ask; `answers` returns what came of it."""
        self.attachment.send(" ".join([what, *(str(argument) for argument in arguments)]))

    def answers(self, whats: Sequence[str]) -> Answers:
        """Return the words of each line that it says until all of `whats` were asked; raise `OverlayFailed`."""
        left = set(whats)
        said = []
        while left:
            try:
                words = self.attachment.line().split()
            except (NotAttached, TimeoutError) as error:
                raise OverlayFailed(f"The probe on {self.member.name} fell silent: {error or 'no answer'}.") from None
            if words[:1] == ["asked"]:
                left.discard(words[1])
            else:
                said.append(words)
        return said


def pods(namespace: str) -> str:
    """Return where the pods of a namespace are."""
    return f"/api/v1/namespaces/{namespace}/pods"


@contextmanager
def running(
    api: Api, pool: Executor, probes: Sequence[Probe], *, packet_bytes: int, talk_s: float
) -> Iterator[Sequence[Running]]:
    """Start the probes, and speak with them for at most `talk_s`. Whoever made their namespace removes them.

    Raises `OverlayFailed` naming the node where one does not start.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S + talk_s
    with ExitStack() as stack:

        def start(probe: Probe) -> Running:
            api.create(pods(probe.namespace), _pod(probe, packet_bytes))
            attachment = _attach(api, probe, deadline)
            stack.callback(attachment.close)
            attachment.send("address")
            return Running(probe, attachment.line().split()[1], attachment)

        yield in_parallel(pool, start, probes)


def in_parallel(pool: Executor, function: Callable[[_S], _T], items: Sequence[_S]) -> list[_T]:
    """Call `function` for all items at once, and return when all calls have ended, be it with an error."""
    futures = [pool.submit(function, item) for item in items]
    wait(futures)
    return [future.result() for future in futures]


def _pod(probe: Probe, packet_bytes: int) -> Object:
    command = ["/bin/sh", "-c", SCRIPT, "probe", str(packet_bytes), *(str(port) for port in probe.ports)]
    container = {
        "name": "probe",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "stdin": True,
        "command": command,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": probe.name, "labels": {LABEL: "", **probe.labels}},
        "spec": {
            "nodeName": node_name(probe.member.name),
            "tolerations": [{"operator": "Exists"}],
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            # Never met: so no Service of people's sends anybody here.
            "readinessGates": [{"conditionType": LABEL}],
            "containers": [container],
        },
    }


def _attach(api: Api, probe: Probe, deadline: float) -> Attachment:
    """Attach as soon as the probe runs, which nothing tells sooner than trying."""
    until = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            return Attachment(api, probe.path, deadline)
        except NotAttached as error:
            if time.monotonic() > until:
                why = _waiting(api, probe) or str(error)
                raise OverlayFailed(f"{probe.member.name} did not start a pod: {why}") from None
        time.sleep(_POLL_S)


def _waiting(api: Api, probe: Probe) -> str:
    """Return what the pod waits for, in its node's words."""
    found = api.find(probe.path) or {}
    states = [status.get("state", {}) for status in found.get("status", {}).get("containerStatuses", ())]
    reasons = [state["waiting"] for state in states if "waiting" in state]
    events = api.items(
        f"/api/v1/namespaces/{probe.namespace}/events", fieldSelector=f"involvedObject.name={probe.name},type=Warning"
    )
    texts = [str(reason.get("message") or reason.get("reason", "")) for reason in reasons]
    return "; ".join([*texts, *(str(event.get("message", "")) for event in events[-1:])])
