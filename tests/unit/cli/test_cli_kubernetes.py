"""What is different where a cluster is one of Kubernetes: creating, showing, pointing at it, its credentials' end."""

import json
import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_testbed import Carina
from fake_answers import KUBERNETES, KUBERNETES_ID, SWARM, cluster, kubernetes_cluster, operation, step
from fake_service import FakeService

PODS = ("--pod-subnet", "10.10.0.0/16", "--service-subnet", "10.11.0.0/16", "--node-subnet", "10.64.9.0/24")


@pytest.fixture(autouse=True)
def k1(service: FakeService) -> None:
    service.clusters = [kubernetes_cluster(), cluster()]
    service.cluster_types = [
        SWARM,
        KUBERNETES,
        kind(24, "1.34.4"),
        kind(25, "1.34.10"),
        kind(26, "1.36.0", active=False),
    ]


def kind(number: int, version: str, **changes: Any) -> dict[str, Any]:
    return {**KUBERNETES, "id": number, "name": f"Kubernetes {version}", "version": version, **changes}


def downloads(service: FakeService) -> int:
    return len(service.sent("GET", f"/clusters/{KUBERNETES_ID}/credentials/zip"))


def ends_in(service: FakeService, **life: float) -> None:
    service.expire = (datetime.now(UTC) + timedelta(**life)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("wanted", "type_id"),
    [
        ("kubernetes", 20),
        ("Kubernetes", 20),
        ("kubernetes-1", 20),
        ("kubernetes-1.34", 25),
        ("kubernetes-1.34.4", 24),
        ("Kubernetes 1.34.4", 24),
        ("24", 24),
        ("26", 26),
    ],
)
def test_of_several_types_the_newest_that_was_meant_is_taken(
    carina: Carina, service: FakeService, wanted: str, type_id: int
) -> None:
    assert carina("create", "k2", "--type", wanted).code == 0
    assert service.sent("POST", "/clusters")[0][3]["cluster_type_id"] == type_id


@pytest.mark.parametrize("wanted", ["kubernetes-1.3", "kubernetes-1.36", "kubernetes-", "swarm-1", "1.35.4"])
def test_a_version_that_is_not_there_is_told_those_that_are(carina: Carina, wanted: str) -> None:
    ran = carina("create", "k2", "--type", wanted)
    assert ran.code == 2
    assert "Kubernetes 1.34.10" in ran.err
    assert "1.36.0" not in ran.err


def test_options_are_sent_as_they_were_typed(carina: Carina, service: FakeService) -> None:
    registries = ("--mirror", "docker.io=http://10.0.0.5:5000/a=b", "--mirror", "quay.io=https://m")
    insecure = ("--insecure-registry", "10.0.0.5:5000", "--insecure-registry", "10.0.0.6:5000")
    ran = carina("create", "k2", "--type", "kubernetes", "--network", "none", *PODS, *registries, *insecure)
    assert ran.code == 0, ran.err
    assert service.sent("POST", "/clusters")[0][3]["options"] == {
        "network": "none",
        "pod_subnet": "10.10.0.0/16",
        "service_subnet": "10.11.0.0/16",
        "node_subnet": "10.64.9.0/24",
        "registry_mirrors": {"docker.io": "http://10.0.0.5:5000/a=b", "quay.io": "https://m"},
        "insecure_registries": ["10.0.0.5:5000", "10.0.0.6:5000"],
    }


def test_without_options_none_are_sent(carina: Carina, service: FakeService) -> None:
    carina("create", "k2", "--type", "kubernetes")
    assert "options" not in service.sent("POST", "/clusters")[0][3]


@pytest.mark.parametrize(
    "args",
    [
        ("--network", "calico"),
        ("--mirror", "docker.io"),
        ("--mirror", "=http://x"),
        ("--mirror", "docker.io="),
        ("--mirror", "a=http://x", "--mirror", "a=http://y"),
    ],
)
def test_options_that_cannot_be_right_send_nothing(carina: Carina, service: FakeService, args: tuple[str, ...]) -> None:
    assert carina("create", "k2", *args).code == 2
    assert service.requests == []


def test_create_says_what_to_type_next(carina: Carina) -> None:
    ran = carina("create", "k2", "--type", "kubernetes")
    assert "k2 is active: 1 node, https://10.64.1.10:6443, in 4.0 s" in ran.out
    assert 'eval "$(carina env k2)"; kubectl get nodes' in ran.out


def test_types_and_lists_show_versions(carina: Carina) -> None:
    assert "kubernetes 1.35.4" in carina("ls").out
    assert "1.34.10" in carina("types").out


def test_get_shows_what_was_chosen_and_what_was_verified(carina: Carina) -> None:
    lines = [" ".join(line.split()) for line in carina("get", "k1").out.splitlines()]
    for line in (
        "Version 1.35.4",
        "Pod network flannel",
        "Pods 10.244.0.0/16",
        "Services 10.245.0.0/16",
        "Mirror docker.io from http://10.0.0.5:5000",
        "Insecure 10.0.0.5:5000",
        "Capability: dns works, verified 2026-01-02T03:04:05Z",
        "Capability: network-policy does not work, verified 2026-01-02T03:04:05Z: A denied probe got through.",
    ):
        assert line in lines


def test_a_steps_note_stands_beside_it(carina: Carina, service: FakeService) -> None:
    service.operation_answers = [operation(steps=[step(note="No other home: default/web"), step(note=None)])]
    assert "1.25 s  No other home: default/web" in carina("resize", "demo", "-n", "1").err
    assert "No other home" in carina("operation", operation()["id"]).out


def test_overlays_take_services(carina: Carina, service: FakeService) -> None:
    ran = carina("overlays", "add", "k1", "shop", "--service", "web:80", "--service", "db:5432")
    assert ran.out == "shop is active: isolated, services web:80, db:5432, in 4.0 s\n"
    [(_, _, _, body)] = service.sent("POST", f"/clusters/{KUBERNETES_ID}/overlays")
    assert body == {"name": "shop", "services": ["web:80", "db:5432"]}
    assert "web:80, db:5432" in carina("overlays", "k1").out


@pytest.mark.usefixtures("surroundings")
def test_eval_of_env_points_kubectl_at_the_cluster_and_back(home: Path) -> None:
    carina = f"{shlex.quote(sys.executable)} -m carina_cli"
    script = (
        f'eval "$({carina} env K1)"; cat "$KUBECONFIG"; echo "$CARINA_CLUSTER_NAME $KUBECONFIG";'
        f' DOCKER_HOST=x; eval "$({carina} env --unset)"; echo "${{KUBECONFIG-none}} ${{DOCKER_HOST-none}}"'
    )
    ran = subprocess.run(["bash", "-c", script], env=dict(os.environ), capture_output=True, text=True, check=False)
    path = home / ".carina" / "clusters" / KUBERNETES_ID / "kubectl.config"
    assert ran.stderr == ""
    assert ran.stdout.splitlines()[-2:] == [f"k1 {path}", "none none"]
    assert "server: https://10.64.1.10:6443" in ran.stdout
    assert (path.parent / "key.pem").read_text() == "key"


@pytest.mark.parametrize(
    ("shell", "line", "undo"),
    [
        ("bash", "export KUBECONFIG='{}'", "unset KUBECONFIG"),
        ("fish", "set -gx KUBECONFIG '{}';", "set -e KUBECONFIG;"),
        ("powershell", "$Env:KUBECONFIG = '{}'", "Remove-Item Env:\\KUBECONFIG -ErrorAction SilentlyContinue"),
        ("cmd", 'SET "KUBECONFIG={}"', 'SET "KUBECONFIG="'),
    ],
)
def test_each_shell_is_pointed_in_its_words(carina: Carina, home: Path, shell: str, line: str, undo: str) -> None:
    path = home / ".carina" / "clusters" / KUBERNETES_ID / "kubectl.config"
    lines = carina("env", "k1", "--shell", shell).out.splitlines()
    assert lines[0] == line.format(path)
    assert len(lines) == 3
    taken = carina("env", "--unset", "--shell", shell).out.splitlines()
    assert undo in taken
    assert len(taken) == 6


def test_env_as_json(carina: Carina, home: Path) -> None:
    assert json.loads(carina("env", "k1", "-o", "json").out) == {
        "KUBECONFIG": str(home / ".carina" / "clusters" / KUBERNETES_ID / "kubectl.config"),
        "CARINA_CLUSTER_NAME": "k1",
    }
    assert set(json.loads(carina("env", "--unset", "-o", "json").out)) >= {"KUBECONFIG", "DOCKER_HOST"}


def test_credentials_that_will_last_are_kept(carina: Carina, service: FakeService) -> None:
    ends_in(service, hours=24)
    carina("env", "k1")
    carina("env", "k1")
    assert downloads(service) == 1


@pytest.mark.parametrize(("left_h", "fetched"), [(7.9, 2), (8.1, 1), (-1, 2)])
def test_credentials_are_fetched_anew_in_the_last_third_of_their_life(
    carina: Carina, service: FakeService, home: Path, left_h: float, fetched: int
) -> None:
    ends_in(service, hours=24)
    carina("env", "k1")
    stamp = home / ".carina" / "clusters" / KUBERNETES_ID / "cluster.json"
    kept = json.loads(stamp.read_text())
    end = datetime.now(UTC) + timedelta(hours=left_h)
    kept["expire"], kept["fetched_at"] = end.isoformat(), (end - timedelta(hours=24)).isoformat()
    stamp.write_text(json.dumps(kept))
    carina("env", "k1")
    assert downloads(service) == fetched


@pytest.mark.parametrize("spoilt", ["", "[]", "{}", '{"of": 1}'])
def test_a_stamp_that_says_nothing_counts_for_nothing(
    carina: Carina, service: FakeService, home: Path, spoilt: str
) -> None:
    carina("env", "k1")
    (home / ".carina" / "clusters" / KUBERNETES_ID / "cluster.json").write_text(spoilt)
    assert carina("env", "k1").code == 0
    assert downloads(service) == 2


def test_a_file_that_was_lost_is_fetched_again(carina: Carina, service: FakeService, home: Path) -> None:
    carina("env", "k1")
    (home / ".carina" / "clusters" / KUBERNETES_ID / "kubectl.config").unlink()
    assert carina("env", "k1").code == 0
    assert downloads(service) == 2


def test_credentials_without_a_kubeconfig_are_said_so(carina: Carina, service: FakeService) -> None:
    service.archives[KUBERNETES_ID] = service.archive
    ran = carina("env", "k1")
    assert ran.code == 3
    assert "kubectl.config" in ran.err


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("carina create k2 --type kub", ["kubernetes", "kubernetes-1.34.10", "kubernetes-1.34.4", "kubernetes-1.35.4"]),
        ("carina images rm demo w", ["web:1"]),
        ("carina images load de", ["demo"]),
        ("carina kubeconfig k", ["k1"]),
        ("carina create k2 --network f", ["flannel"]),
    ],
)
@pytest.mark.usefixtures("surroundings")
def test_completion_offers_what_there_is(words: str, offered: list[str]) -> None:
    request = {"_CARINA_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    carina = str(Path(sys.executable).parent / "carina")
    ran = subprocess.run([carina], env={**os.environ, **request}, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == offered, ran.stderr
    alone = {**os.environ, **request, "CARINA_ENDPOINT": "http://127.0.0.1:1"}
    ran = subprocess.run([carina], env=alone, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
