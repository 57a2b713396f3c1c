"""Credentials of a cluster, as people fetch them."""

import io
import tempfile
import zipfile
from pathlib import Path

from installation import Installation


def credentials(installation: Installation, cluster_id: str, *, lifetime_s: int | None = None) -> Path:
    """Fetch a cluster's credentials, and return the directory that they are in, which is a new one each time."""
    query = "" if lifetime_s is None else f"?lifetime_s={lifetime_s}"
    response = installation.call("GET", f"/clusters/{cluster_id}/credentials/zip{query}")
    assert response.status_code == 200, response.text
    directory = Path(tempfile.mkdtemp(prefix="credentials-", dir=installation.user_home))
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        for entry in archive.infolist():
            (directory / Path(entry.filename).name).write_bytes(archive.read(entry))
    return directory
