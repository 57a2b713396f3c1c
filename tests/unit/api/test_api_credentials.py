import io
import stat
import zipfile

import pytest
from api_testbed import Testbed, problem

from domain.archives import decode, encode
from domain.errors import StepFailed


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


async def test_there_are_no_credentials_until_the_cluster_was_active(bed: Testbed) -> None:
    cluster = await bed.create()
    path = f"/clusters/{cluster['id']}/credentials/zip"
    assert problem(await bed.http.get(path), 404)["code"] == "not-ready"
    # sealed, but the create's last check is still to come, and then fails
    sealed = bed.vault.seal(encode({"key.pem": b"a key"}), context=f"{cluster['id']}/credentials")
    bed.begin(cluster["operation_id"])
    bed.records.put_secret(cluster["id"], "credentials", sealed)
    assert problem(await bed.http.get(path), 404)["code"] == "not-ready"
    bed.records.fail_operation(cluster["operation_id"], StepFailed("no answer").record(), cancelled=False)
    assert problem(await bed.http.get(path), 404)["code"] == "not-ready"


async def test_credentials_can_be_had_while_the_cluster_is_resized(bed: Testbed) -> None:
    cluster = await bed.active()
    task = {"type": "resize", "input": {"node_count": 2}}
    assert (await bed.http.post(f"/clusters/{cluster['id']}/tasks", json=task)).status_code == 202
    assert (await bed.http.get(f"/clusters/{cluster['id']}/credentials/zip")).status_code == 200


async def test_an_archive_sealed_for_another_cluster_does_not_open(bed: Testbed) -> None:
    one, two = await bed.active("one"), await bed.active("two")
    with bed.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE cluster_id = ?) WHERE cluster_id = ?",
            (one["id"], two["id"]),
        )
    response = await bed.http.get(f"/clusters/{two['id']}/credentials/zip")
    assert response.status_code >= 500
    assert "a key" not in response.text


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
