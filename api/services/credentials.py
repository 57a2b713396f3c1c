"""The archive of files with which people reach a cluster's native API."""

import io
import zipfile

from starlette.concurrency import run_in_threadpool

from api.context import Context
from domain import archives
from domain.clusters import ClusterStatus
from domain.errors import NotReady

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can hold: the same files give the same archive
_UNIX = 3
_REGULAR_FILE = 0o100000
_NEVER_ACTIVE = frozenset({ClusterStatus.CREATING, ClusterStatus.ERROR})


async def credentials_zip(context: Context, cluster_id: str) -> tuple[str, bytes]:
    """Return the cluster's name and its archive; raise `NotFound`, and `NotReady` until it has been active."""
    return await run_in_threadpool(_credentials_zip, context, cluster_id)


def _credentials_zip(context: Context, cluster_id: str) -> tuple[str, bytes]:
    cluster = context.repository.cluster(cluster_id)
    sealed = None if cluster.status in _NEVER_ACTIVE else context.repository.sealed_credentials(cluster_id)
    if sealed is None:
        raise NotReady(f"Cluster {cluster.name} is {cluster.status}; it has credentials once it was active.")
    files = archives.decode(context.vault.open(sealed, context=f"{cluster_id}/credentials"))
    return cluster.name, _zip(files)


def _zip(files: dict[str, bytes]) -> bytes:
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
