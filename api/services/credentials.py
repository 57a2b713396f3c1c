"""The archive of files with which people reach a cluster's native API."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.concurrency import run_in_threadpool

from api.context import Context
from domain.clusters import ClusterStatus
from domain.errors import NotReady

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can hold: the same files give the same archive
_UNIX = 3
_REGULAR_FILE = 0o100000
_NEVER_ACTIVE = frozenset({ClusterStatus.CREATING, ClusterStatus.ERROR})


@dataclass(frozen=True, slots=True, repr=False)
class CredentialsArchive:
    """The archive (zip), the name of the cluster that it is for, and when its certificate ends, if before that."""

    cluster_name: str
    content: bytes
    expires_at: datetime | None


async def credentials_zip(context: Context, cluster_id: str, lifetime_s: int | None) -> CredentialsArchive:
    """Make credentials for the caller, which last `lifetime_s` seconds, without it as long as is usual.

    Raises `NotFound`, and `NotReady` until the cluster has been active.
    """
    return await run_in_threadpool(_credentials_zip, context, cluster_id, lifetime_s)


def _credentials_zip(context: Context, cluster_id: str, lifetime_s: int | None) -> CredentialsArchive:
    cluster = context.repository.cluster(cluster_id)
    if cluster.status in _NEVER_ACTIVE:
        raise NotReady(f"Cluster {cluster.name} is {cluster.status}; it has credentials once it was active.")
    lifetime = None if lifetime_s is None else timedelta(seconds=lifetime_s)
    person = context.repository.tenant_name()
    issued = context.parts.credentials.issue(cluster.id, person=person, lifetime=lifetime)
    return CredentialsArchive(cluster.name, _zip(issued.files), issued.expires_at)


def _zip(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = _UNIX
            mode = 0o600 if _holds_key(name, files[name]) else 0o644
            entry.external_attr = (_REGULAR_FILE | mode) << 16
            archive.writestr(entry, files[name])
    return target.getvalue()


def _holds_key(name: str, content: bytes) -> bool:
    """Say whether a file holds a private key: by its name, or by what is in it (RFC 7468)."""
    return name == "key.pem" or b"PRIVATE KEY-----" in content
