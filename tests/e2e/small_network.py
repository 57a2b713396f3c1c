"""A network for nodes that holds a single cluster."""

import ipaddress
import json
import secrets
from pathlib import Path

from machine import run


def free_network() -> str:
    """Return a /24 of 10.64.0.0/10 that no route of the machine and no claim of an instance touches."""
    routes = json.loads(run("ip", "-json", "-4", "route", "show", "table", "all"))
    taken = [route["dst"] for route in routes if route.get("dst", "default") != "default"]
    taken += [json.loads(file.read_text())["network"] for file in Path("/etc/carina/claims").glob("*.json")]
    used = [ipaddress.IPv4Network(item, strict=False) for item in taken]
    while True:
        candidate = ipaddress.IPv4Network(f"10.{64 + secrets.randbelow(64)}.{secrets.randbelow(256)}.0/24")
        if not any(candidate.overlaps(other) for other in used):
            return str(candidate)
