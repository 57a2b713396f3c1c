"""`python -m tests.rack`: a rack for a person. It stays until Ctrl-C, or until `--down` is said elsewhere."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from tests.rack.host import RackHost
from tests.rack.racks import rack
from tests.rack.wanted import FACTS, PERSON, end_all, known_facts, say


def main() -> None:
    """Start a rack, or end those that persons have started."""
    parser = argparse.ArgumentParser(prog="python -m tests.rack", description=__doc__)
    parser.add_argument("--count", type=int, default=3, help="hosts (%(default)s)")
    parser.add_argument("--without", nargs="*", default=[], help="packages that the hosts shall lack")
    parser.add_argument("--down", action="store_true", help="end the racks that were started this way")
    parser.add_argument(
        "--background",
        action="store_true",
        help="print the hosts as JSON: of the rack there is, or of one that then stays",
    )
    options = parser.parse_args()
    if options.down:
        end_all()
    elif options.background:
        say(known_facts() or in_background(options.count, options.without))
    else:
        keep(options.count, options.without)


def keep(count: int, without: Sequence[str]) -> None:
    """Have a rack until the process is told to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))  # so that all is taken away, also while it is being made
    with rack(count, without=without, purpose=PERSON) as made:
        facts = json.dumps([_facts(host) for host in made])
        (made.directory / FACTS).write_text(facts)
        say(_hints(made.hosts) if sys.stdout.isatty() else facts)
        while True:
            signal.pause()


def in_background(count: int, without: Sequence[str]) -> str:
    """Start a rack that stays when this process has ended, and return what it says about its hosts."""
    command = [sys.executable, "-m", "tests.rack", "--count", str(count), "--without", *without]
    with tempfile.TemporaryFile("w+") as errors:
        keeper = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        assert keeper.stdout
        said = keeper.stdout.readline().strip()
        if not said:
            keeper.wait()
            errors.seek(0)
            sys.exit(f"the rack did not come up: {errors.read()}")
    return said


def _facts(host: RackHost) -> dict[str, object]:
    return {
        "name": host.name,
        "address": host.address,
        "port": host.port,
        "host_key": host.host_key,
        "identity": str(host.identity),
    }


def _hints(hosts: Sequence[RackHost]) -> str:
    lines = [
        f"  carina host add {host.name} --address {host.address} --identity {host.identity}"
        f" --host-key '{host.host_key}'"
        for host in hosts
    ]
    login = f"ssh -i {hosts[0].identity} -o StrictHostKeyChecking=no root@{hosts[0].address}"
    return "\n".join(
        [
            f"{len(hosts)} hosts are up. To look at one: {login}",
            "Add them to a Carina that runs here (carina host cordon local keeps clusters off this machine):",
            *lines,
            "Ctrl-C ends the rack, as does 'make rack DOWN=1' elsewhere.",
        ]
    )


if __name__ == "__main__":
    main()
