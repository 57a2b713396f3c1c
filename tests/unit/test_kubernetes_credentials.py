import base64
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from domain.secrets import Access, KeyPair
from drivers.kubernetes_credentials import credentials

ENDPOINT = "https://10.64.0.10:6443"
ACCESS = Access(b"the authority", KeyPair(b"the certificate", b"the key"))
NAMES = {
    "ca.pem",
    "cert.pem",
    "key.pem",
    "kubectl.config",
    "kubectl.env",
    "kubectl.fish",
    "kubectl.ps1",
    "kubectl.cmd",
}


def test_the_archive_has_the_files_that_clients_know() -> None:
    files = credentials("k1", ENDPOINT, ACCESS)
    assert set(files) == NAMES
    assert (files["ca.pem"], files["cert.pem"], files["key.pem"]) == (b"the authority", b"the certificate", b"the key")


@pytest.mark.parametrize("name", ["k1", "true", "1e5", "007"])
def test_the_kubeconfig_names_the_endpoint_without_quotes_and_holds_the_certificates(name: str) -> None:
    text = credentials(name, ENDPOINT, ACCESS)["kubectl.config"].decode()
    assert f"    server: {ENDPOINT}" in text.splitlines()
    config = yaml.safe_load(text)
    assert config["current-context"] == config["contexts"][0]["name"] == config["clusters"][0]["name"] == name
    assert base64.b64decode(config["users"][0]["user"]["client-key-data"]) == b"the key"
    assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]) == b"the authority"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_finds_the_kubeconfig_beside_itself_from_any_directory(tmp_path: Path, shell: str) -> None:
    folder = tmp_path / "a folder's $name"
    folder.mkdir()
    for name, content in credentials("k1", ENDPOINT, ACCESS).items():
        (folder / name).write_bytes(content)
    script = folder / ("kubectl.fish" if shell == "fish" else "kubectl.env")
    assert shutil.which(shell), f"{shell} is not installed"
    for where, name in (
        (tmp_path, str(script)),
        (folder, f"./{script.name}"),
        (tmp_path, f"{folder.name}/{script.name}"),
    ):
        quoted = '"' + name.replace("$", "\\$") + '"'
        done = subprocess.run(
            (shell, "-c", f'source {quoted}; echo "$KUBECONFIG"'),
            cwd=where,
            env={"PATH": "/usr/bin:/bin", "CDPATH": "/", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == f"{folder}/kubectl.config"
        assert not done.stderr


def test_scripts_for_windows_name_their_own_folder() -> None:
    files = credentials("k1", ENDPOINT, ACCESS)
    assert b'$Env:KUBECONFIG = Join-Path $PSScriptRoot "kubectl.config"' in files["kubectl.ps1"]
    assert b'set "KUBECONFIG=%~dp0kubectl.config"\r\n' in files["kubectl.cmd"]
