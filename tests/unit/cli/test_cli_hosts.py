"""What the commands about hosts send, write and return."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_testbed import Carina
from fake_answers import FAILURE, NOW, OPERATION_ID, operation, problem
from fake_hosts import HOST_KEY, RACK1_ID, RACK2_ID, check, host
from fake_service import FakeService

from carina_cli.host_keys import fingerprint

OTHER_KEY = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDB"
ADD = ("host", "add", "rack1", "--address", "192.0.2.7")


class Terminal(io.StringIO):
    """A terminal at which somebody has typed already."""

    def isatty(self) -> bool:
        return True


def test_add_sends_what_was_said_and_nothing_else(carina: Carina, service: FakeService) -> None:
    options = (
        "--user",
        "ops",
        "--port",
        "2222",
        "--identity",
        "/etc/carina/key",
        "--zone",
        "row-a",
        "--reach",
        "direct",
    )
    more = ("--device", "/dev/sdb", "--fabric-address", "192.0.2.7", "--host-key", HOST_KEY)
    ran = carina(*ADD, *options, *more)
    assert ran.code == 0, ran.err
    [(_, _, _, body)] = service.sent("POST", "/hosts")
    assert body == {
        "name": "rack1",
        "address": "192.0.2.7",
        "user": "ops",
        "port": 2222,
        "identity": "/etc/carina/key",
        "zone": "row-a",
        "endpoint": "direct",
        "device": "/dev/sdb",
        "fabric_address": "192.0.2.7",
        "host_key": HOST_KEY,
    }
    assert carina(*ADD, "--host-key", HOST_KEY).code == 0
    assert service.sent("POST", "/hosts")[1][3] == {"name": "rack1", "address": "192.0.2.7", "host_key": HOST_KEY}


def test_add_follows_the_preparation_and_says_what_there_is_now(carina: Carina) -> None:
    ran = carina(*ADD, "--yes")
    assert ran.code == 0
    assert "rack1 is ready: 8 CPUs, 16.0 GiB memory, 100.0 GiB disk, 0 of 64 nodes, in 4.0 s" in ran.out
    assert "Preparing rack1 at 192.0.2.7" in ran.err
    assert "Start the node" in ran.err


def test_add_shows_the_key_that_the_host_presents_and_asks(
    carina: Carina, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    refused = carina(*ADD)
    assert refused.code == 1
    assert fingerprint(HOST_KEY) in refused.err
    assert "host_key" not in service.sent("POST", "/hosts")[0][3]
    assert len(service.sent("POST", "/hosts")) == 1

    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert carina(*ADD).code == 0
    assert service.sent("POST", "/hosts")[2][3]["host_key"] == HOST_KEY


def test_add_without_a_terminal_says_what_to_type(
    carina: Carina, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ran = carina(*ADD)
    assert ran.code == 2
    assert f"add --host-key {fingerprint(HOST_KEY)}, or --yes" in ran.err
    assert len(service.sent("POST", "/hosts")) == 1


def test_yes_takes_the_key_that_the_host_presents_and_shows_it(carina: Carina, service: FakeService) -> None:
    ran = carina(*ADD, "-y")
    assert fingerprint(HOST_KEY) in ran.err
    assert service.sent("POST", "/hosts")[1][3]["host_key"] == HOST_KEY


def test_a_fingerprint_confirms_the_key_that_has_it_and_no_other(carina: Carina, service: FakeService) -> None:
    assert carina(*ADD, "--host-key", fingerprint(HOST_KEY)).code == 0
    assert service.sent("POST", "/hosts")[1][3]["host_key"] == HOST_KEY
    service.hosts.host_key = OTHER_KEY
    ran = carina(*ADD, "--host-key", fingerprint(HOST_KEY), "--yes")
    assert ran.code == 4
    assert fingerprint(OTHER_KEY) in ran.err
    assert f"Expected was {fingerprint(HOST_KEY)}" in ran.err
    assert [request[3].get("host_key") for request in service.sent("POST", "/hosts")] == [None, HOST_KEY, None]


@pytest.mark.parametrize(
    "text",
    [
        f"{HOST_KEY} root@rack1\n",
        f"192.0.2.7 {HOST_KEY}\n",
        f"# 192.0.2.7:22 SSH-2.0-OpenSSH {OTHER_KEY}\n192.0.2.7 {OTHER_KEY}\n192.0.2.7 {HOST_KEY}\n",
    ],
)
def test_a_host_key_is_read_from_a_public_key_known_hosts_or_ssh_keyscan(
    carina: Carina, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "key").write_text(text)
    assert carina(*ADD, "--host-key", str(tmp_path / "key")).code == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert carina(*ADD, "--host-key", "-").code == 0
    assert [request[3]["host_key"] for request in service.sent("POST", "/hosts")] == [HOST_KEY, HOST_KEY]


def test_a_host_key_that_is_none_is_refused_before_anything_is_asked(
    carina: Carina, service: FakeService, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert carina(*ADD, "--host-key", str(tmp_path / "key")).code == 2
    assert carina(*ADD, "--host-key", str(tmp_path / "absent")).code == 3
    assert service.sent("POST", "/hosts") == []


def test_the_endpoint_of_the_service_is_not_mistaken_for_how_nodes_are_reached(carina: Carina) -> None:
    ran = carina(*ADD, "--endpoint", "direct")
    assert ran.code == 2
    assert "Say --reach direct." in ran.err


def test_a_dry_run_says_what_would_be_changed(carina: Carina, service: FakeService) -> None:
    service.hosts.report["checks"] = [check(), check("ipvs", "degraded", meaning="VIPs hang", remedy="load ip_vs")]
    ran = carina(*ADD, "--yes", "--dry-run")
    assert ran.code == 0
    assert service.sent("POST", "/hosts") == []
    lines = ran.out.splitlines()
    assert lines[0].split() == ["degraded", "ipvs", "about", "ipvs"]
    assert lines[1].strip() == "It means: VIPs hang"
    assert lines[2].strip() == "What to do: load ip_vs"
    assert lines[-2:] == ["Adding it would:", "  install the package lxc"]
    service.hosts.changes = []
    assert "would change nothing" in carina(*ADD, "--yes", "--dry-run").out


def test_doctor_ends_with_1_if_something_is_missing(carina: Carina, service: FakeService) -> None:
    assert carina("host", "doctor", "rack1").code == 0
    service.hosts.report["checks"] = [check(), check("vxlan", "missing", meaning="No overlays.", remedy="Load vxlan.")]
    ran = carina("host", "doctor", "rack1")
    assert ran.code == 1
    lines = [line.strip() for line in ran.out.splitlines()]
    assert lines[:3] == ["missing   vxlan  about vxlan", "It means: No overlays.", "What to do: Load vxlan."]
    assert lines[-1] == "1 ok, 0 degraded, 1 missing, measured 2026-01-02T03:04:05Z"
    assert carina("host", "doctor", "rack1", "-o", "json").code == 1


def test_hosts_are_found_by_name_in_any_case_and_by_id(carina: Carina, service: FakeService) -> None:
    service.hosts.hosts = [host(), host("rack2", RACK2_ID)]
    for given in ("RACK2", "rack2", RACK2_ID, RACK2_ID.upper()):
        assert json.loads(carina("host", "get", given, "-o", "json").out)["name"] == "rack2"
    ran = carina("host", "get", "rack3")
    assert ran.code == 3
    assert "'carina host ls' lists those that there are." in ran.err


def test_ls_shows_the_room_of_each(carina: Carina, service: FakeService) -> None:
    nothing = {"cpus": 0.0, "memory_bytes": 0, "disk_bytes": 0}
    new = host("rack2", RACK2_ID, state="preparing", cordoned=True, zone="", size=nothing, free=nothing)
    service.hosts.hosts = [host(), new]
    header, first, second = carina("host", "ls").out.splitlines()
    assert header.split()[:3] == ["NAME", "STATE", "CORDONED"]
    assert "4.0 GiB of 16.0 GiB" in first
    assert "2 of 64" in first
    assert second.split()[:4] == ["rack2", "preparing", "yes", "-"]
    assert "GiB" not in second


def test_get_shows_why_a_host_can_not_be_used(carina: Carina, service: FakeService) -> None:
    service.hosts.hosts = [host(state="error", error=FAILURE, cordoned=True)]
    ran = carina("host", "get", "rack1")
    assert "yes: it takes no new nodes" in ran.out
    assert "root@192.0.2.7 port 22" in ran.out
    assert "4 CPUs, 8.0 GiB of 16.0 GiB of memory" in ran.out
    assert f"Error: {FAILURE['title']} (docker-silent)" in ran.out
    assert f"What to do: {FAILURE['remedy']}" in ran.out


def test_a_host_that_does_not_answer_is_shown_as_such_with_the_reason(carina: Carina, service: FakeService) -> None:
    service.hosts.hosts = [host(unreachable={"since": NOW, "reason": "no route to host"})]
    assert carina("host", "ls").out.splitlines()[1].split()[:3] == ["rack1", "unreachable", "no"]
    assert f"since {NOW}: it takes no new nodes. no route to host" in carina("host", "get", "rack1").out
    assert "rack1 is ready, unreachable: " in carina("host", "prepare", "rack1").out


def test_nodes_are_shown_with_their_clusters(carina: Carina) -> None:
    assert carina("host", "nodes", "rack1").out.splitlines()[1].split()[:3] == ["demo-1", "demo", "manager"]


@pytest.mark.parametrize("task", ["cordon", "uncordon", "prepare", "drain", "remove"])
def test_each_task_is_sent_for_the_host(carina: Carina, service: FakeService, task: str) -> None:
    ran = carina("host", task, "RACK1")
    assert ran.code == 0, ran.err
    [(_, _, _, body)] = service.sent("POST", f"/hosts/{RACK1_ID}/tasks")
    assert body == {"type": task}
    assert "rack1" in ran.out


def test_a_fingerprint_is_no_key_to_prepare_a_host_with(carina: Carina, service: FakeService) -> None:
    ran = carina("host", "prepare", "rack1", "--host-key", fingerprint(HOST_KEY))
    assert ran.code == 2
    assert "A fingerprint does not tell the key." in ran.err
    assert "ssh_host_ed25519_key.pub" in ran.err
    assert service.sent("POST", f"/hosts/{RACK1_ID}/tasks") == []


def test_a_revoked_key_in_a_known_hosts_file_is_not_taken(carina: Carina, service: FakeService, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"@revoked rack1 {OTHER_KEY}\n@cert-authority *.lab {OTHER_KEY}\n# rack1 {OTHER_KEY}\n")
    assert "There is no public key in" in carina("host", "prepare", "rack1", "--host-key", str(file)).err
    file.write_text(f"@revoked rack1 {OTHER_KEY}\nrack1 {HOST_KEY}\n")
    assert carina("host", "prepare", "rack1", "--host-key", str(file)).code == 0
    [(_, _, _, body)] = service.sent("POST", f"/hosts/{RACK1_ID}/tasks")
    assert body == {"type": "prepare", "input": {"host_key": HOST_KEY}}


def test_a_host_that_was_installed_anew_is_prepared_with_its_key(
    carina: Carina, service: FakeService, tmp_path: Path
) -> None:
    file = tmp_path / "key.pub"
    file.write_text(f"{HOST_KEY} root@rack1\n")
    assert carina("host", "prepare", "rack1", "--host-key", str(file)).code == 0
    [(_, _, _, body)] = service.sent("POST", f"/hosts/{RACK1_ID}/tasks")
    assert body == {"type": "prepare", "input": {"host_key": HOST_KEY}}
    assert carina("host", "prepare", "rack1", "--host-key", str(tmp_path / "none")).code == 3


def test_a_forced_removal_asks_first(carina: Carina, service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert carina("host", "remove", "rack1", "--force").code == 2
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    asked = carina("host", "remove", "rack1", "--force")
    assert asked.code == 1
    assert "Give up rack1 and the 2 nodes on it, with all their data?" in asked.err
    assert service.sent("POST", f"/hosts/{RACK1_ID}/tasks") == []
    assert carina("host", "remove", "rack1", "--force", "--yes").out == "rack1 is removed, in 4.0 s\n"
    [(_, _, _, body)] = service.sent("POST", f"/hosts/{RACK1_ID}/tasks")
    assert body == {"type": "remove", "input": {"force": True}}


def test_a_refused_removal_says_why(carina: Carina, service: FakeService) -> None:
    path = f"/hosts/{RACK1_ID}/tasks"
    service.failures["POST", path] = problem(409, "host-in-use", "The host carries nodes", remedy="Drain it first.")
    ran = carina("host", "remove", "rack1")
    assert ran.code == 4
    assert "What to do: Drain it first." in ran.err


def test_a_preparation_that_fails_is_told_and_the_host_still_shown_as_json(
    carina: Carina, service: FakeService
) -> None:
    service.operation_answers = [operation("failed", error=FAILURE, kind="prepare-host", host_id=RACK1_ID)]
    ran = carina("host", "prepare", "rack1", "-o", "json")
    assert ran.code == 1
    assert json.loads(ran.out)["name"] == "rack1"
    assert FAILURE["detail"] in ran.err
    assert RACK1_ID in carina("operation", OPERATION_ID).out


def test_clusters_are_pinned_to_hosts_by_name_or_id(carina: Carina, service: FakeService) -> None:
    service.hosts.hosts = [host(), host("rack2", RACK2_ID)]
    ran = carina("create", "demo", "--host", "rack1", "--host", RACK2_ID, "--not-host", "rack3")
    assert ran.code == 0, ran.err
    [(_, _, _, body)] = service.sent("POST", "/clusters")
    assert body["options"] == {"hosts": ["rack1", "rack2"], "not_hosts": ["rack3"]}


def test_get_of_a_cluster_shows_where_it_is(carina: Carina, service: FakeService) -> None:
    service.nodes = [{**service.nodes[0], "host": "rack1"}, {**service.nodes[1], "host": "rack2"}, service.nodes[1]]
    seen = {"name": "fabric", "works": True, "detail": "2 of 2 pairs of hosts", "verified_at": "2026-01-02T03:04:05Z"}
    service.clusters[0] |= {"capabilities": [seen], "options": {"hosts": ["rack1", "rack2"]}}
    ran = carina("get", "demo")
    lines = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in ran.out.splitlines()}
    assert lines["Hosts"] == "rack1 (1), rack2 (1), local (1)"
    assert lines["Published"] == "80/tcp to port 30080: 192.0.2.7:80, 192.0.2.8:80"
    assert lines["Only on"] == "rack1, rack2"
    assert "Capability: fabric works, verified 2026-01-02T03:04:05Z: 2 of 2 pairs of hosts" in ran.out


def test_get_of_a_cluster_works_with_a_service_that_publishes_nothing(carina: Carina, service: FakeService) -> None:
    path = f"/clusters/{service.clusters[0]['id']}/publications"
    service.failures["GET", path] = problem(404, "not-found", "There is no such thing")
    ran = carina("get", "demo")
    assert ran.code == 0
    assert "Published" not in ran.out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("carina host get ra", ["rack1", "rack2"]),
        ("carina create demo --not-host rack2", ["rack2"]),
        ("carina unpublish demo 8", ["80/tcp"]),
    ],
)
@pytest.mark.usefixtures("surroundings")
def test_completion_offers_hosts_and_published_ports(service: FakeService, words: str, offered: list[str]) -> None:
    service.hosts.hosts = [host(), host("rack2", RACK2_ID)]
    request = {"_CARINA_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    carina = str(Path(sys.executable).parent / "carina")
    ran = subprocess.run([carina], env={**os.environ, **request}, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == offered, ran.stderr
    alone = {**os.environ, **request, "CARINA_ENDPOINT": "http://127.0.0.1:1"}
    ran = subprocess.run([carina], env=alone, capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.stderr) == ("", "")
