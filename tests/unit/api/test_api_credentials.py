import io
import stat
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from api_testbed import Testbed, problem
from cryptography import x509

from activities.people import PeopleCredentials
from activities.secrets import AUTHORITY, ClusterSecrets
from domain.archives import decode, encode
from domain.errors import StepFailed
from drivers.pki import CertificatePki
from drivers.swarm import Swarm
from drivers.vault import FileVault


async def test_credentials_come_as_a_flat_archive_in_which_only_keys_are_private(bed: Testbed) -> None:
    cluster = await bed.active()
    response = await bed.http.get(f"/clusters/{cluster['id']}/credentials/zip")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/zip"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Disposition"] == 'attachment; filename="demo.zip"'
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        modes = {item.filename: stat.S_IMODE(item.external_attr >> 16) for item in archive.infolist()}
        assert archive.read("key.pem") == b"a key"
    assert modes == {"ca.pem": 0o644, "docker.env": 0o644, "key.pem": 0o600}
    assert (await bed.http.get(f"/clusters/{cluster['id']}/credentials/zip")).content == response.content


async def test_credentials_are_issued_to_the_caller_for_as_long_as_is_asked(bed: Testbed) -> None:
    cluster = await bed.active()
    path = f"/clusters/{cluster['id']}/credentials/zip"
    assert "Carina-Credentials-Expire" not in (await bed.http.get(path)).headers
    bed.credentials.expires_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    response = await bed.http.get(f"{path}?lifetime_s=3600")
    assert response.headers["Carina-Credentials-Expire"] == "2026-01-02T03:04:05.000Z"
    assert bed.credentials.issued == [(cluster["id"], "admin", None), (cluster["id"], "admin", timedelta(hours=1))]


@pytest.mark.parametrize("lifetime", ["59", "2592001", "-1", "1.5", "a day", ""])
async def test_a_lifetime_out_of_bounds_is_named(bed: Testbed, lifetime: str) -> None:
    cluster = await bed.active()
    response = await bed.http.get(f"/clusters/{cluster['id']}/credentials/zip?lifetime_s={lifetime}")
    assert problem(response, 400)["field"] == "lifetime_s"
    assert bed.credentials.issued == []


async def test_there_are_no_credentials_until_the_cluster_was_active(bed: Testbed) -> None:
    cluster = await bed.create()
    path = f"/clusters/{cluster['id']}/credentials/zip"
    assert problem(await bed.http.get(path), 404)["code"] == "not-ready"
    bed.begin(cluster["operation_id"])
    assert problem(await bed.http.get(path), 404)["code"] == "not-ready"
    bed.records.fail_operation(cluster["operation_id"], StepFailed("no answer").record(), cancelled=False)
    assert problem(await bed.http.get(path), 404)["code"] == "not-ready"
    assert bed.credentials.issued == []


async def test_the_certificate_is_the_callers_own_and_ends_when_it_was_said(bed: Testbed, tmp_path: Path) -> None:
    cluster = await bed.active()
    pki = CertificatePki()
    secrets = ClusterSecrets(bed.records, FileVault(tmp_path / "vault-key"))
    secrets.keep_pair(cluster["id"], AUTHORITY, pki.authority("demo"))
    swarm = Swarm(pki)
    real = PeopleCredentials(bed.records, secrets, pki, {swarm.coe: swarm})
    bed.app.state.parts = replace(bed.app.state.parts, credentials=real)
    response = await bed.http.get(f"/clusters/{cluster['id']}/credentials/zip?lifetime_s=600")
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        certificate = x509.load_pem_x509_certificate(archive.read("cert.pem"))
        authority = x509.load_pem_x509_certificate(archive.read("ca.pem"))
    certificate.verify_directly_issued_by(authority)
    assert certificate.subject.rfc4514_string() == "CN=admin"
    told = datetime.fromisoformat(response.headers["Carina-Credentials-Expire"])
    assert abs(certificate.not_valid_after_utc - told) < timedelta(seconds=5)
    assert told - datetime.now(UTC) <= timedelta(seconds=600)


async def test_credentials_can_be_had_while_the_cluster_is_resized(bed: Testbed) -> None:
    cluster = await bed.active()
    task = {"type": "resize", "input": {"node_count": 2}}
    assert (await bed.http.post(f"/clusters/{cluster['id']}/tasks", json=task)).status_code == 202
    assert (await bed.http.get(f"/clusters/{cluster['id']}/credentials/zip")).status_code == 200


def test_an_archive_comes_back_as_it_was_and_the_same_files_give_the_same_bytes() -> None:
    files = {"b": bytes(range(256)), "a": b""}
    assert decode(encode(files)) == files
    assert encode(files) == encode(dict(reversed(files.items())))


@pytest.mark.parametrize(
    "archive", [b"", b"[]", b'{"a": 1}', b'{"a": "not base64!"}', b'{"../a": ""}', b'{"": ""}', b"\xff"]
)
def test_what_is_no_archive_is_refused_without_showing_it(archive: bytes) -> None:
    with pytest.raises(ValueError, match=r"no archive|no plain file name") as caught:
        decode(archive)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["", "a/b", "..", ".", "a\\b"])
def test_an_archive_takes_plain_file_names_only(name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        encode({name: b""})
