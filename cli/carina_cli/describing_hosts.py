"""Hosts, their reports and published ports as people read them."""

from collections.abc import Iterable, Iterator

from carina_cli.host_shapes import Check, Host, Publication, Report
from carina_cli.output import age, print_fields, print_lines, print_table, room, yes_or_no

MISSING = "missing"
_LEVELS = (MISSING, "degraded", "ok")


def print_hosts(hosts: Iterable[Host]) -> None:
    """Write hosts as a table."""
    print_table(
        ["NAME", "STATE", "CORDONED", "ZONE", "ADDRESS", "NODES", "CPUS", "MEMORY FREE", "DISK FREE", "AGE", "ID"],
        [
            [
                host["name"],
                "unreachable" if host["unreachable"] else host["state"],
                yes_or_no(host["cordoned"]),
                host["zone"],
                host["address"],
                f"{host['node_count']} of {host['node_limit']}",
                _cpus(host),
                _share(host["free"]["memory_bytes"], host["size"]["memory_bytes"]),
                _share(host["free"]["disk_bytes"], host["size"]["disk_bytes"]),
                age(host["created_at"]),
                host["id"],
            ]
            for host in hosts
        ],
    )


def print_host(host: Host) -> None:
    """Write all that there is to say of a host."""
    login = "" if host["address"] == "local" else f"{host['user']}@{host['address']} port {host['port']}"
    print_fields(
        [
            ("Name", host["name"]),
            ("Id", host["id"]),
            ("State", host["state"]),
            ("Unreachable", _unreachable(host)),
            ("Cordoned", "yes: it takes no new nodes" if host["cordoned"] else "no"),
            ("Zone", host["zone"]),
            ("Address", host["address"]),
            ("Login", login),
            ("Identity", host["identity"]),
            ("Host key", host["fingerprint"]),
            ("Nodes", f"{host['node_count']} of {host['node_limit']}"),
            ("Reached", host["endpoint"]),
            ("Fabric address", host["fabric_address"]),
            ("Network", host["network"]),
            ("MTU", host["mtu"]),
            ("Device", host["device"]),
            ("CPUs", _cpus(host)),
            ("Memory free", _share(host["free"]["memory_bytes"], host["size"]["memory_bytes"])),
            ("Disk free", _share(host["free"]["disk_bytes"], host["size"]["disk_bytes"])),
            ("Reserved", _reserved(host)),
            ("Capabilities", ", ".join(host["capabilities"])),
            ("Measured", host["measured_at"]),
            ("Operation", host["operation_id"]),
            ("Created", host["created_at"]),
            ("Updated", host["updated_at"]),
        ]
    )
    error = host["error"]
    if error:
        print_lines([f"Error: {error.get('title')} ({error.get('code')})"])
        print_lines(f"  {line}" for line in error.get("detail", "").splitlines())
        if error.get("remedy"):
            print_lines([f"  What to do: {error['remedy']}"])


def host_summary(host: Host) -> str:
    """Return a host in one line."""
    size = host["size"]
    parts = [
        f"{size['cpus']:g} CPUs" if size["cpus"] else "",
        f"{room(size['memory_bytes'])} memory" if size["memory_bytes"] else "",
        f"{room(size['disk_bytes'])} disk" if size["disk_bytes"] else "",
        f"{host['node_count']} of {host['node_limit']} nodes",
    ]
    words = [host["state"], "cordoned" if host["cordoned"] else "", "unreachable" if host["unreachable"] else ""]
    return f"{host['name']} is {', '.join(filter(None, words))}: {', '.join(filter(None, parts))}"


def print_report(report: Report) -> None:
    """Write a report: what is missing first, then what is degraded, each with its meaning and its remedy."""
    checks = sorted(report["checks"], key=_gravity)
    width = max((len(check["name"]) for check in checks), default=0)
    for check in checks:
        print_lines(_check_lines(check, width))
    counts = [f"{sum(check['state'] == level for check in checks)} {level}" for level in reversed(_LEVELS)]
    when = f", measured {report['measured_at']}" if report["measured_at"] else ", never measured"
    print_lines([f"{', '.join(counts)}{when}"])


def lacks(report: Report) -> bool:
    """Tell whether something that clusters need is missing."""
    return any(check["state"] == MISSING for check in report["checks"])


def port_of(publication: Publication) -> str:
    """Return a published port as people name it."""
    return f"{publication['host_port']}/{publication['protocol']}"


def _check_lines(check: Check, width: int) -> Iterator[str]:
    yield f"{check['state']:<9} {check['name']:<{width}}  {check['detail']}".rstrip()
    if check["state"] != "ok" and check["meaning"]:
        yield f"          It means: {check['meaning']}"
    if check["state"] != "ok" and check["remedy"]:
        yield f"          What to do: {check['remedy']}"


def _gravity(check: Check) -> int:
    return _LEVELS.index(check["state"]) if check["state"] in _LEVELS else len(_LEVELS)


def _cpus(host: Host) -> str:
    return f"{host['size']['cpus']:g}" if host["size"]["cpus"] else ""


def _unreachable(host: Host) -> str:
    unreachable = host["unreachable"]
    return f"since {unreachable['since']}: it takes no new nodes. {unreachable['reason']}" if unreachable else ""


def _reserved(host: Host) -> str:
    """Return what nodes with a size have taken of the host, from which placement knows what it may still give away."""
    taken, there = host["reserved"], host["size"]
    parts = [
        f"{taken['cpus']:g} CPUs" if taken["cpus"] else "",
        f"{_share(taken['memory_bytes'], there['memory_bytes'])} of memory" if taken["memory_bytes"] else "",
        f"{_share(taken['disk_bytes'], there['disk_bytes'])} of disk" if taken["disk_bytes"] else "",
    ]
    return ", ".join(filter(None, parts))


def _share(part: int, total: int) -> str:
    """Return how much it is of what there is."""
    return f"{room(part) or '0'} of {room(total)}" if total else ""
