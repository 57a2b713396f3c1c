"""Judges a host's WireGuard from gathered facts: whether there is one, and the host's end of it. Pure."""

from domain.hosts import Check, CheckState, TunnelEnd
from drivers.kernel_checks import Facts

WIREGUARD_OVERHEAD_BYTES = 60
"""An IPv4 header of 20, UDP's of 8, and WireGuard's own 32 (Donenfeld: WireGuard, NDSS 2017, section 5.4.6)."""


def tunnel_end(facts: Facts) -> TunnelEnd | None:
    """Return the host's end, None where it has no key for it yet, or a kernel that can't."""
    match facts.get("tunnel", "").split():
        case [port, key] if facts.get("try.wireguard") == "ok":
            return TunnelEnd(int(port), key)
        case _:
            return None


def wireguard_check(facts: Facts) -> Check:
    """Return the line about WireGuard, for hosts that are to have it."""
    end, said = tunnel_end(facts), facts.get("try.wireguard", "")
    if end is not None:
        return Check("WireGuard", CheckState.OK, f"to other hosts that have it, at UDP port {end.port}")
    if said == "ok":
        return Check("WireGuard", CheckState.OK, "tried, works; the host gets its key when it is prepared")
    return Check(
        "WireGuard",
        CheckState.DEGRADED,
        f"tried: {said}" if said else "could not be tried",
        "What clusters send from this host to others is not encrypted, nor what they send to it.",
        "modprobe wireguard  # or a kernel that has it: Debian's own does",
    )
