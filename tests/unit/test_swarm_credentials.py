import shutil
import subprocess
from pathlib import Path

import pytest

from domain.secrets import Access, KeyPair
from drivers.swarm_credentials import credentials

ENDPOINT = "tcp://10.64.0.10:2376"
ACCESS = Access(b"the authority", KeyPair(b"the certificate", b"the key"))
PRINT = 'echo "$DOCKER_HOST|$DOCKER_TLS_VERIFY|$DOCKER_CERT_PATH"'


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder's $name"
    folder.mkdir()
    for name, content in credentials("demo", ENDPOINT, ACCESS).items():
        (folder / name).write_bytes(content)
    return folder


def test_the_archive_has_the_files_that_clients_know() -> None:
    files = credentials("demo", ENDPOINT, ACCESS)
    names = {"ca.pem", "cert.pem", "key.pem", "docker.env", "docker.fish", "docker.ps1", "docker.cmd"}
    assert set(files) == names
    assert (files["ca.pem"], files["cert.pem"], files["key.pem"]) == (b"the authority", b"the certificate", b"the key")


def test_docker_env_names_the_endpoint_without_quotes() -> None:
    lines = credentials("demo", ENDPOINT, ACCESS)["docker.env"].decode().splitlines()
    assert f"export DOCKER_HOST={ENDPOINT}" in lines


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_finds_the_certificates_beside_itself_from_any_directory(
    bundle: Path, tmp_path: Path, shell: str
) -> None:
    script = bundle / ("docker.fish" if shell == "fish" else "docker.env")
    assert shutil.which(shell), f"{shell} is not installed"
    for where, name in ((tmp_path, str(script)), (bundle, script.name), (tmp_path, f"{bundle.name}/{script.name}")):
        source = name if "/" in name else f"./{name}"
        done = subprocess.run(
            (shell, "-c", f"source {quote(source)}; {PRINT}"),
            cwd=where,
            env={"PATH": "/usr/bin:/bin", "CDPATH": "/", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == f"{ENDPOINT}|1|{bundle}"
        assert not done.stderr


def test_scripts_for_windows_name_the_endpoint_and_their_own_folder() -> None:
    files = credentials("demo", ENDPOINT, ACCESS)
    assert f'$Env:DOCKER_HOST = "{ENDPOINT}"'.encode() in files["docker.ps1"]
    assert b"$PSScriptRoot" in files["docker.ps1"]
    assert f'set "DOCKER_HOST={ENDPOINT}"\r\n'.encode() in files["docker.cmd"]
    assert b"%~dp0" in files["docker.cmd"]


def quote(text: str) -> str:
    return '"' + text.replace("$", "\\$") + '"'
