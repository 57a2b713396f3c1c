"""Hosts for the demo: containers that stand for bare-metal machines, added to Carina over SSH."""

import json
import subprocess
import sys

from service import BIN, Json, Service
from timings import Timings

NEXT = """The hosts:
  carina host ls
  carina host doctor rack1
  make rack DOWN=1            # ends them
  carina host uncordon local  # lets clusters come to this machine again
  make down PURGE=1 FORCE=1   # removes Carina's data though it still knows them
"""


def prepare(service: Service, count: int, timings: Timings) -> None:
    """Have a rack, and its hosts in Carina; new clusters go there, not on this machine."""
    with timings.part(f"Start {count} containers as bare-metal hosts"):
        hosts = _rack(count)
    with timings.part("Prepare them as hosts over SSH"):
        _carina(service, "host", "cordon", "local")
        known = {host["name"]: host for host in service.get("/hosts")["hosts"]}
        if any(host["name"] in known and known[host["name"]]["address"] != host["address"] for host in hosts):
            sys.exit("The hosts that Carina knows have gone with their rack: 'make down PURGE=1 FORCE=1', then again.")
        adding = [_add(service, host) for host in hosts if host["name"] not in known]
        if any([process.wait() for process in adding]):  # noqa: C419 - waits for all
            sys.exit("Not all hosts could be prepared.")


def _rack(count: int) -> list[Json]:
    """Return the hosts of the rack that is there, or of a new one."""
    command = (sys.executable, "-m", "tests.rack", "--background", "--count", str(count))
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("The hosts could not be started.")
    found: list[Json] = json.loads(done.stdout)
    return found


def _carina(service: Service, *command: str) -> None:
    subprocess.run([BIN / "carina", *command], env=service.environment, check=True)


def _add(service: Service, host: Json) -> "subprocess.Popen[bytes]":
    command = ["host", "add", host["name"], f"--address={host['address']}", f"--identity={host['identity']}"]
    return subprocess.Popen([BIN / "carina", *command, f"--host-key={host['host_key']}"], env=service.environment)
