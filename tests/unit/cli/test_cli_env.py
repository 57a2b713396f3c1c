"""Credentials on disk, and the variables that lead Docker clients to them, in each shell's words."""

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cli_testbed import Carina
from fake_answers import DEMO_ID, archive, cluster
from fake_service import FakeService

from carina_cli.bundle import unpack
from carina_cli.errors import CliError
from carina_cli.shells import Shell, exports, unsets

AWKWARD = 'it\'s "a" $HOME `id` \\ %PATH% ; & é'


def downloads(service: FakeService) -> int:
    return len(service.sent("GET", f"/clusters/{DEMO_ID}/credentials/zip"))


def test_eval_of_env_sets_what_docker_reads(surroundings: dict[str, str], service: FakeService, home: Path) -> None:
    carina = f"{shlex.quote(sys.executable)} -m carina_cli"
    script = (
        f'eval "$({carina} env DEMO)"; env | grep ^DOCKER_ ; echo "$CARINA_CLUSTER_NAME";'
        f' eval "$({carina} env --unset)"; env | grep -c ^DOCKER_'
    )
    ran = subprocess.run(["bash", "-c", script], env=dict(os.environ), capture_output=True, text=True, check=False)
    directory = home / ".carina" / "clusters" / DEMO_ID
    assert sorted(ran.stdout.splitlines()) == sorted(
        [
            "DOCKER_HOST=tcp://10.64.0.10:2376",
            "DOCKER_TLS_VERIFY=1",
            f"DOCKER_CERT_PATH={directory}",
            "demo",
            "0",
        ]
    ), ran.stderr
    assert ran.stderr == ""
    assert {path.name for path in directory.iterdir()} >= {"ca.pem", "cert.pem", "key.pem"}


def test_everything_of_the_credentials_is_for_their_owner_alone(carina: Carina, home: Path) -> None:
    previous = os.umask(0)
    try:
        carina("env", "demo")
    finally:
        os.umask(previous)
    directory = home / ".carina" / "clusters" / DEMO_ID
    for kept in (directory, directory.parent, directory.parent.parent):
        assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_credentials_are_fetched_once_and_again_when_the_cluster_has_changed(
    carina: Carina, service: FakeService, home: Path
) -> None:
    carina("env", "demo")
    carina("env", "demo")
    assert downloads(service) == 1
    service.clusters = [cluster(updated_at="2026-02-02T00:00:00Z")]
    carina("env", "demo")
    assert downloads(service) == 2
    (home / ".carina" / "clusters" / DEMO_ID / "key.pem").unlink()
    carina("env", "demo")
    assert downloads(service) == 3
    carina("credentials", "demo")
    assert downloads(service) == 4


def test_env_as_json_names_the_variables(carina: Carina, home: Path) -> None:
    assert json.loads(carina("env", "demo", "-o", "json").out) == {
        "DOCKER_HOST": "tcp://10.64.0.10:2376",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(home / ".carina" / "clusters" / DEMO_ID),
        "CARINA_CLUSTER_NAME": "demo",
    }


@pytest.mark.parametrize(
    ("shell", "line", "undo", "hint"),
    [
        ("bash", "export DOCKER_TLS_VERIFY=1", "unset DOCKER_HOST", '# Run: eval "$(carina env demo --shell bash)"'),
        ("fish", "set -gx DOCKER_TLS_VERIFY '1';", "set -e DOCKER_HOST;", "| source"),
        ("powershell", "$Env:DOCKER_TLS_VERIFY = '1'", "Remove-Item Env:\\DOCKER_HOST", "Invoke-Expression"),
        ("cmd", 'SET "DOCKER_TLS_VERIFY=1"', 'SET "DOCKER_HOST="', "REM Run: @FOR /f"),
    ],
)
def test_each_shell_is_spoken_to_in_its_words(carina: Carina, shell: str, line: str, undo: str, hint: str) -> None:
    lines = carina("env", "demo", "--shell", shell).out.splitlines()
    assert line in lines
    assert hint in lines[-1]
    assert undo in carina("env", "--unset", "--shell", shell).out


def test_the_shell_is_that_of_the_environment(carina: Carina, monkeypatch: pytest.MonkeyPatch) -> None:
    assert carina("env", "demo").out.startswith("export ")
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert carina("env", "demo").out.startswith("set -gx ")


def test_values_mean_themselves_only_in_bash() -> None:
    script = "\n".join([*exports(Shell.BASH, {"VALUE": AWKWARD}), 'printf %s "$VALUE"'])
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout == AWKWARD
    gone = "\n".join([*exports(Shell.BASH, {"VALUE": "x"}), *unsets(Shell.BASH, ["VALUE"]), 'echo "${VALUE-none}"'])
    assert subprocess.run(["bash", "-c", gone], capture_output=True, text=True, check=True).stdout == "none\n"


def test_values_are_quoted_as_the_manuals_of_the_other_shells_say() -> None:
    assert exports(Shell.FISH, {"V": "it's \\ $x"}) == ["set -gx V 'it\\'s \\\\ $x';"]
    assert exports(Shell.POWERSHELL, {"V": "it's $x `n"}) == ["$Env:V = 'it''s $x `n'"]
    assert exports(Shell.CMD, {"V": "a & b"}) == ['SET "V=a & b"']


@pytest.mark.parametrize("folder", ["", "demo/"])
def test_an_archive_may_be_flat_or_in_one_folder(tmp_path: Path, folder: str) -> None:
    names = unpack(archive(folder=folder), tmp_path / "to")
    assert names == ["ca.pem", "cert.pem", "docker.env", "key.pem"]
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == names


@pytest.mark.parametrize("name", ["../key.pem", "/etc/key.pem", "a/b/key.pem", "..\\key.pem", "C:key.pem", "a/../../k"])
def test_an_archive_that_would_write_elsewhere_is_refused_whole(tmp_path: Path, name: str) -> None:
    with pytest.raises(CliError, match="strange place"):
        unpack(archive({"ca.pem": "x", name: "y"}), tmp_path / "to")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_archive_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no zip archive"):
        unpack(b"hello", tmp_path / "to")
    with pytest.raises(CliError, match="bytes"):
        unpack(archive({"ca.pem": "x" * (1 << 21)}), tmp_path / "to")


def test_files_that_were_readable_by_others_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("old")
    (tmp_path / "key.pem").chmod(0o644)
    unpack(archive(), tmp_path)
    assert (tmp_path / "key.pem").read_text() == "key"
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_completion_offers_names_and_is_silent_without_a_service(
    surroundings: dict[str, str], service: FakeService
) -> None:
    request = {"_CARINA_COMPLETE": "complete_bash", "COMP_WORDS": "carina get d", "COMP_CWORD": "2"}
    carina = shutil.which("carina", path=str(Path(sys.executable).parent))
    assert carina is not None
    ran = subprocess.run([carina], env={**os.environ, **request}, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["demo"], ran.stderr
    alone = {**os.environ, **request, "CARINA_ENDPOINT": "http://127.0.0.1:1"}
    ran = subprocess.run([carina], env=alone, capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.stderr) == ("", "")
