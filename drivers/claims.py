"""What instances claim on a host, apart from each other: a network for nodes and a range of uids and gids.

A claim is a file, /etc/carina/claims/<prefix>.json, plus a line for root in /etc/subuid and in /etc/subgid (subuid(5)),
without which LXC may not use the uids. Reading, deciding and writing are apart: a claim is only written if what it was
decided upon still stands, compared by digest under a lock of the machine, and else decided anew.
"""

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from domain.allocation import UID_RANGES_PER_CLAIM, UIDS_PER_NODE, choose_claim
from domain.errors import HostNotReady
from domain.hosts import Claim, Host
from domain.instance import Instance
from drivers.shell import Shell
from drivers.steps import Step

CLAIMS_DIR = "/etc/carina/claims"
_TIMEOUT_S = 60.0
_CHANGED = "changed"
_WIDEST_PREFIX = 8
"""Routes wider than this, such as the halves of the default route that VPNs set, say nothing of what is in use."""

_LOCK = """
set -euo pipefail
claims=$1 mine=$2
lock() {
  # The directory goes with the last claim in it, so having waited for it, look whether it is still there.
  while :; do
    mkdir -p "$claims"
    exec 9<"$claims" && flock 9
    [ ! "$claims" -ef /proc/self/fd/9 ] || break
  done
}
lines() { cat /etc/subuid /etc/subgid 2> /dev/null || true; }
state() { { cat "$claims"/*.json 2> /dev/null || true; lines; } | sha256sum; }
"""

_EDIT = """
# Change a file of subuid(5) by a filter, in one rename, under the lock that useradd(8) and its kin take: a link named
# after the file that leads to a file with the holder's pid in it. usermod(8) itself refuses to change a busy user.
edit() {
  local file=$1 holder
  shift
  touch "$file"
  printf %s "$$" > "$file.$$"
  until ln "$file.$$" "$file.lock" 2> /dev/null; do
    holder=$(tr -d '\\0' < "$file.lock" 2> /dev/null) || continue
    if [ -n "$holder" ] && ! kill -0 "$holder" 2> /dev/null; then rm -f "$file.lock"; else sleep 0.02; fi
  done
  rm "$file.$$"
  "$@" < "$file" > "$file.carina"
  chmod --reference="$file" "$file.carina"
  sync "$file.carina" # else a host that loses power now may come back with an empty file
  mv "$file.carina" "$file"
  rm "$file.lock"
}
without() { grep -vxF "$1" || [ $? = 1 ]; }
with() { without "$1" && echo "$1"; }
"""

_READ = (
    _LOCK
    + """
if [ -d "$claims" ]; then lock; fi
state
# A machine without iproute2 is only looked at: before anything is claimed on it, it has that.
listed() { ! command -v ip > /dev/null || ip -4 -json "$@"; }
listed route show table all | tr -d '\\n'; echo
listed address show | tr -d '\\n'; echo
for file in "$claims"/*.json; do
  [ ! -e "$file" ] || { printf 'claim %s ' "${file##*/}"; tr -d '\\n' < "$file"; echo; }
done
lines
"""
)

_WRITE = (
    _LOCK
    + _EDIT
    + f"""
expected=$3 line=$4
lock
[ "$(state)" = "$expected" ] || {{ echo {_CHANGED}; exit 0; }}
cat > "$claims/.$mine.new"
sync "$claims/.$mine.new"
mv "$claims/.$mine.new" "$claims/$mine.json"
for file in /etc/subuid /etc/subgid; do
  grep -qsxF "$line" "$file" || edit "$file" with "$line"
done
"""
)

_RELEASE = (
    _LOCK
    + _EDIT
    + """
line=$3
[ -d "$claims" ] || exit 0
lock
for file in /etc/subuid /etc/subgid; do
  ! grep -qsxF "$line" "$file" || edit "$file" without "$line"
done
rm -f "$claims/$mine.json" "$claims/.$mine.new"
# The last one out.
rmdir "$claims" "${claims%/*}" 2> /dev/null || true
"""
)


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """A claim as its file tells it: whose it is, and in which directory that instance keeps its things."""

    prefix: str
    root: str
    claim: Claim

    @property
    def uids(self) -> tuple[int, int]:
        """First uid and number of uids."""
        return self.claim.uid_first, self.claim.uid_ranges * UIDS_PER_NODE


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a claim is decided upon. `networks` come with the interface; `ranges` are (first, count) pairs."""

    state: str
    networks: Sequence[tuple[str, str]]
    ranges: Sequence[tuple[int, int]]
    held: Sequence[HeldClaim]


class Claims:
    """The claims of one instance on hosts."""

    def __init__(self, instance: Instance, *, network: str | None, uid_ranges: int = UID_RANGES_PER_CLAIM) -> None:
        """`network` asks for that network and no other; `uid_ranges` is how many nodes' uids are claimed."""
        self._instance = instance
        self._network = network
        self._uid_ranges = uid_ranges

    def held(self, seen: Surroundings) -> HeldClaim | None:
        """Return what the instance has claimed already. Pure."""
        return next((held for held in seen.held if held.prefix == self._instance.prefix), None)

    def decide(self, seen: Surroundings, host: Host, network: str | None = None) -> Claim:
        """Decide what the instance claims. Pure. Raises `NoAddressLeft`, `HostNotReady`.

        A claim that the host's row carries is claimed as it is: nodes live by it. Else `network` is that of the
        instance's other hosts, if there are any: then it is claimed and no other.
        """
        mine = self.held(seen)
        if mine and mine.root != host.root:
            raise HostNotReady(
                f"The prefix {mine.prefix} belongs to the instance in {mine.root}, not to that in {host.root}.",
                remedy=f"Choose another prefix, or remove {CLAIMS_DIR}/{mine.prefix}.json if that instance is no more.",
            )
        network = network or self._network
        kept = host.claim or (mine.claim if mine and network in {None, mine.claim.network} else None)
        others = [held for held in seen.held if held is not mine]
        if kept is None:
            own = f"{self._instance.prefix}-"
            networks = [network for network, device in seen.networks if not device.startswith(own)]
            networks += [held.claim.network for held in others]
            ranges = [*seen.ranges, *(held.uids for held in others)]
            return choose_claim(networks, ranges, network=network, uid_ranges=self._uid_ranges)
        for other in others:
            if _overlap(kept, other.claim):
                raise HostNotReady(
                    f"What this instance has claimed on host {host.name} is claimed by {other.prefix} too.",
                    remedy=f"Remove one of the two instances; {CLAIMS_DIR} says where they are.",
                )
        return kept

    async def look(self, shell: Shell, host: Host) -> HeldClaim | None:
        """Return what the instance has claimed on the host. One round trip. Raises `CommandFailed`, `HostNotReady`."""
        read = self.reading(host)
        result = await shell.run(read.script, args=read.args, timeout_s=_TIMEOUT_S, what=read.what)
        return self.held(read_surroundings(result.text))

    async def release(self, shell: Shell, host: Host, mine: HeldClaim | None) -> None:
        """Give back what `look` found to be claimed. Nothing claimed is no error. Raises `CommandFailed`."""
        await shell.run(
            _RELEASE,
            args=(CLAIMS_DIR, self._instance.prefix, _subid_line(mine.claim) if mine else ""),
            timeout_s=_TIMEOUT_S,
            what=f"Giving back the claim on {host.name}",
        )

    def reading(self, host: Host) -> Step:
        """Return the step that looks at what a claim is decided upon; see `read_surroundings`. It changes nothing."""
        return Step(f"Reading the claims on {host.name}", _READ, (CLAIMS_DIR, self._instance.prefix))

    def writing(self, host: Host, claim: Claim, seen: Surroundings) -> Step:
        """Return the step that writes a claim, unless what it was decided upon has changed: see `written`."""
        document = {"prefix": self._instance.prefix, "root": host.root, **asdict(claim)}
        return Step(
            f"Writing the claim on {host.name}",
            _WRITE,
            (CLAIMS_DIR, self._instance.prefix, seen.state, _subid_line(claim)),
            json.dumps(document, indent=1).encode() + b"\n",
        )


def written(output: str) -> bool:
    """Return whether the step of `Claims.writing` has written the claim, from what it has said. Pure."""
    return output.strip() != _CHANGED


def read_surroundings(output: str) -> Surroundings:
    """Read what the script of `Claims` wrote. Pure."""
    state, routes, addresses, *lines = output.splitlines()
    return Surroundings(
        state=state,
        networks=networks_in_use(routes, addresses),
        ranges=[found for line in lines if (found := subid_range(line))],
        held=[_held(line) for line in lines if line.startswith("claim ")],
    )


def networks_in_use(routes_json: str, addresses_json: str) -> list[tuple[str, str]]:
    """Return (network, interface) for the host's routes and addresses, from `ip -json`. Pure."""
    found = [(str(route.get("dst", "")), str(route.get("dev", ""))) for route in json.loads(routes_json or "[]")]
    for link in json.loads(addresses_json or "[]"):
        found.extend(
            (f"{item['local']}/{item['prefixlen']}", str(link["ifname"])) for item in link.get("addr_info", [])
        )
    networks = [
        (ipaddress.IPv4Network(text, strict=False), device) for text, device in found if text not in {"", "default"}
    ]
    return [(str(network), device) for network, device in networks if network.prefixlen >= _WIDEST_PREFIX]


def subid_range(line: str) -> tuple[int, int] | None:
    """Return (first, count) of a line of subuid(5), None for any other line. Pure."""
    match line.strip().split(":"):
        case [_, first, count] if first.isdecimal() and count.isdecimal():
            return int(first), int(count)
        case _:
            return None


def _held(line: str) -> HeldClaim:
    _, name, text = line.split(" ", 2)
    try:
        fields = json.loads(text)
        claim = Claim(str(fields["network"]), int(fields["uid_first"]), int(fields["uid_ranges"]))
        return HeldClaim(str(fields["prefix"]), str(fields["root"]), claim)
    except (ValueError, KeyError, TypeError) as error:
        raise HostNotReady(
            f"{CLAIMS_DIR}/{name} can't be read: {error!r}.", remedy="Mend the file, or remove it if it is nobody's."
        ) from error


def _subid_line(claim: Claim) -> str:
    return f"root:{claim.uid_first}:{claim.uid_ranges * UIDS_PER_NODE}"


def _bounds(claim: Claim) -> tuple[int, int]:
    return claim.uid_first, claim.uid_first + claim.uid_ranges * UIDS_PER_NODE - 1


def _overlap(one: Claim, other: Claim) -> bool:
    (first, last), (other_first, other_last) = _bounds(one), _bounds(other)
    networks = ipaddress.IPv4Network(one.network), ipaddress.IPv4Network(other.network)
    return networks[0].overlaps(networks[1]) or (first <= other_last and other_first <= last)
