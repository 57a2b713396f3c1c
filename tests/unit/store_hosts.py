"""Short ways to hosts for tests of the store."""

import base64
import hashlib
from dataclasses import replace

from domain.host_input import AskedHost
from domain.hosts import Claim, Host, HostReport, HostState
from domain.sizes import Size
from store.host_admin import HostAdmin
from store.views import HostAccepted
from tests.unit.store_stages import StoreFixture

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrYSSb1V4YPuaLwCmFVoB3Hp9+hcjOUBLxRDEOCd8t3"


def key_of(name: str) -> str:
    """Return the host key of the host of that name: no two hosts have the same."""
    raw = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + hashlib.sha256(name.encode()).digest()
    return f"ssh-ed25519 {base64.b64encode(raw).decode()}"


def add(admin: HostAdmin, name: str = "rack1", address: str = "192.0.2.1", **fields: object) -> HostAccepted:
    """Accept a host whose key is confirmed."""
    asked = AskedHost(name, address, host_key=key_of(name))
    return admin.accept_add(replace(asked, **fields), root="/var/lib/carina-tst0")  # type: ignore[arg-type]


def ready(
    store: StoreFixture, admin: HostAdmin, name: str = "rack1", address: str = "192.0.2.1", **fields: object
) -> Host:
    """Accept a host, and do to its rows what its preparation would."""
    accepted = add(admin, name, address, **fields)
    operation = accepted.operation
    assert store.records.begin_operation(operation.id, workflow_id=operation.workflow_id, run_id=operation.id)
    host = replace(
        store.records.host(accepted.host.id),
        state=HostState.READY,
        claim=Claim("10.64.0.0/16", 1_000_000_000, 64),
        image="sha256:abc",
        fabric_address=address,
    )
    size = Size(64, 2**40, 2**42)
    store.records.record_host(host, HostReport((), frozenset(), 1500, 2, size, size, address))
    store.records.complete_operation(operation.id)
    return store.records.host(host.id)
