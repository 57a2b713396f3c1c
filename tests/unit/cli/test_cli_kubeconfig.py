"""A cluster's entries in a kubeconfig file: put in, renewed, taken out, and nobody else's touched."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest
import yaml
from cli_testbed import Carina
from fake_answers import KUBERNETES_ID, OTHER_ID, cluster, kubernetes_archive, kubernetes_cluster
from fake_service import FakeService

OTHERS = """\
apiVersion: v1
kind: Config
preferences: {colors: yes}
current-context: theirs
contexts:
- context: {cluster: theirs, namespace: "0123", user: theirs}
  name: theirs
clusters:
- cluster:
    insecure-skip-tls-verify: true
    server: https://10.9.9.9:6443
    x-unknown: 0123
  name: theirs
users:
- name: theirs
  user:
    token: 2026-01-01
    exec: {command: log in, args: ['on', off, ~], apiVersion: client.authentication.k8s.io/v1}
extensions:
- name: unknown
  extension: {held: [1, 0x10, 1_000]}
"""


@pytest.fixture(autouse=True)
def k1(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    service.clusters = [kubernetes_cluster(), cluster()]
    service.expire = "2026-01-03T03:04:05Z"


@pytest.fixture
def config(home: Path) -> Path:
    return home / ".kube" / "config"


def theirs(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(OTHERS, encoding="utf-8")
    return path


def read(path: Path) -> dict[str, object]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def named(document: dict[str, object], field: str, name: str = "carina-k1") -> dict[str, object]:
    entries = document[field]
    assert isinstance(entries, list)
    [found] = [entry for entry in entries if entry["name"] == name]
    content = found[field.removesuffix("s")]
    assert isinstance(content, dict)
    return content


def data(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_new_file_has_all_that_kubectl_needs_and_is_its_owners_alone(carina: Carina, config: Path) -> None:
    previous = os.umask(0)
    try:
        ran = carina("kubeconfig", "K1")
    finally:
        os.umask(previous)
    assert ran.code == 0, ran.err
    assert f"carina-k1 is in {config}, good until 2026-01-03T03:04:05Z" in ran.out
    assert "  kubectl get nodes" in ran.out.splitlines()
    document = read(config)
    assert (document["apiVersion"], document["kind"], document["current-context"]) == ("v1", "Config", "carina-k1")
    about = named(document, "clusters")
    assert about["server"] == "https://10.64.1.10:6443"
    assert about["certificate-authority-data"] == data("ca")
    assert named(document, "users") == {"client-certificate-data": data("cert"), "client-key-data": data("key")}
    assert named(document, "contexts") == {"cluster": "carina-k1", "user": "carina-k1"}
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    assert [path.name for path in config.parent.iterdir()] == ["config"]


def test_what_others_wrote_stays_as_it_was_spelt(carina: Carina, config: Path) -> None:
    theirs(config).chmod(0o640)
    before = read(config)
    assert carina("kubeconfig", "k1", "--no-switch").code == 0
    after = read(config)
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert list(after) == list(before)
    for field in ("contexts", "clusters", "users"):
        was, now = before[field], after[field]
        assert isinstance(was, list)
        assert isinstance(now, list)
        assert now[:-1] == was
    assert after["current-context"] == "theirs"
    text = config.read_text()
    for spelt in ("{colors: yes}", 'namespace: "0123"', "x-unknown: 0123", "['on', off, ~]", "[1, 0x10, 1_000]"):
        assert spelt in text
    carina("kubeconfig", "k1", "--remove")
    assert read(config) == before


def test_asking_again_renews_in_place_and_keeps_what_its_owner_added(
    carina: Carina, service: FakeService, config: Path
) -> None:
    theirs(config)
    carina("kubeconfig", "k1")
    document = read(config)
    named(document, "contexts")["namespace"] = "web"
    named(document, "clusters")["proxy-url"] = "http://proxy:1"
    named(document, "clusters")["insecure-skip-tls-verify"] = True
    named(document, "users")["token"] = "old"
    document["clusters"] = list(reversed(document["clusters"]))  # type: ignore[call-overload]
    config.write_text(yaml.safe_dump(document, sort_keys=False))
    service.archives[KUBERNETES_ID] = kubernetes_archive(**{"cert.pem": "newer"})
    assert carina("kubeconfig", "k1").code == 0
    renewed = read(config)
    assert named(renewed, "contexts") == {"cluster": "carina-k1", "user": "carina-k1", "namespace": "web"}
    assert named(renewed, "clusters")["proxy-url"] == "http://proxy:1"
    assert "insecure-skip-tls-verify" not in named(renewed, "clusters")
    assert named(renewed, "users") == {"client-certificate-data": data("newer"), "client-key-data": data("key")}
    names = [entry["name"] for entry in renewed["clusters"]]  # type: ignore[attr-defined]
    assert names == ["carina-k1", "theirs"]


def test_a_cluster_made_anew_takes_the_place_of_the_old(carina: Carina, service: FakeService, config: Path) -> None:
    carina("kubeconfig", "k1")
    service.clusters = [kubernetes_cluster(cluster_id=OTHER_ID)]
    moved = "clusters: [{cluster: {server: https://new}}]"
    service.archives = {OTHER_ID: kubernetes_archive(**{"kubectl.config": moved})}
    assert carina("kubeconfig", "k1").code == 0
    assert named(read(config), "clusters")["server"] == "https://new"


@pytest.mark.parametrize("field", ["clusters", "users", "contexts"])
def test_an_entry_of_that_name_that_is_not_ours_is_left_unless_forced(carina: Carina, config: Path, field: str) -> None:
    theirs(config)
    document = read(config)
    entry = {"name": "carina-k1", field.removesuffix("s"): {"server": "https://other"}}
    document[field] = [*document[field], entry]  # type: ignore[misc]
    config.write_text(yaml.safe_dump(document, sort_keys=False))
    before = config.read_bytes()
    ran = carina("kubeconfig", "k1")
    assert ran.code == 4
    assert "--force" in ran.err
    assert carina("kubeconfig", "k1", "--remove").code == 4
    assert config.read_bytes() == before
    assert carina("kubeconfig", "k1", "--force").code == 0
    assert named(read(config), "clusters")["server"] == "https://10.64.1.10:6443"


def test_another_services_cluster_of_the_same_name_is_not_ours(
    carina: Carina, service: FakeService, config: Path
) -> None:
    carina("kubeconfig", "k1")
    text = config.read_text().replace(service.url, "http://elsewhere:8440").replace("10.64.1.10", "10.70.1.10")
    config.write_text(text)
    assert carina("kubeconfig", "k1").code == 4
    assert config.read_text() == text


@pytest.mark.parametrize(
    "broken",
    [
        b"clusters: [secret",
        b"- a list",
        b"a word",
        b"clusters: {a: b}",
        b"users: [text]",
        b"a: 1\n---\nb: 2\n",
        b"\xff\xfe\x00",
        b"a: \x07",
    ],
)
def test_a_broken_file_is_refused_and_untouched(carina: Carina, config: Path, broken: bytes) -> None:
    config.parent.mkdir()
    config.write_bytes(broken)
    for args in (("kubeconfig", "k1"), ("kubeconfig", "k1", "--remove")):
        ran = carina(*args)
        assert ran.code == 1
        assert str(config) in ran.err
        assert "secret" not in ran.err
        assert "Traceback" not in ran.err
    assert config.read_bytes() == broken
    assert [path.name for path in config.parent.iterdir()] == ["config"]


@pytest.mark.parametrize("empty", ["", "\n", "# nothing yet\n", "clusters: null\nusers:\ncontexts: []\n"])
def test_an_empty_file_is_filled(carina: Carina, config: Path, empty: str) -> None:
    config.parent.mkdir()
    config.write_text(empty)
    assert carina("kubeconfig", "k1").code == 0
    assert named(read(config), "contexts")


def test_an_alias_in_the_file_is_not_changed_through_ours(carina: Carina, config: Path) -> None:
    carina("kubeconfig", "k1")
    text = config.read_text().replace("context:\n    cluster", "context: &one\n    cluster")
    text = text.replace("current-context: carina-k1", "- {name: theirs, context: *one}\ncurrent-context: carina-k1")
    assert "&one" in text
    config.write_text(text)
    assert carina("kubeconfig", "k1").code == 0
    assert named(read(config), "contexts", "theirs") == {"cluster": "carina-k1", "user": "carina-k1"}


def test_a_link_is_followed_and_stays_one(carina: Carina, config: Path, tmp_path: Path) -> None:
    theirs(tmp_path / "real")
    config.parent.mkdir()
    config.symlink_to(tmp_path / "real")
    assert carina("kubeconfig", "k1").code == 0
    assert config.is_symlink()
    assert named(read(tmp_path / "real"), "users")


def test_the_first_file_of_kubeconfig_is_taken_but_never_a_bundle(
    carina: Carina, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    bundle = home / ".carina" / "clusters" / KUBERNETES_ID / "kubectl.config"
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("KUBECONFIG", f":{bundle}:{first}:{second}")
    assert carina("kubeconfig", "k1").code == 0
    assert first.is_file()
    assert not second.exists()
    monkeypatch.setenv("KUBECONFIG", str(bundle))
    ran = carina("kubeconfig", "k1")
    assert f"  kubectl --kubeconfig '{config}' get nodes" in ran.out.splitlines()
    assert config.is_file()
    assert not bundle.exists()


def test_output_names_a_file_or_standard_output(carina: Carina, tmp_path: Path, config: Path) -> None:
    target = tmp_path / "own.yaml"
    assert carina("kubeconfig", "k1", "--output", str(target)).code == 0
    ran = carina("kubeconfig", "k1", "--output", "-")
    assert ran.code == 0
    assert yaml.safe_load(ran.out) == read(target)
    as_json = carina("kubeconfig", "k1", "--output", "-", "-o", "json")
    assert json.loads(as_json.out) == read(target)
    assert not config.exists()


def test_json_says_where_it_is_and_until_when(carina: Carina, config: Path) -> None:
    assert json.loads(carina("kubeconfig", "k1", "--no-switch", "-o", "json").out) == {
        "cluster_id": KUBERNETES_ID,
        "path": str(config),
        "context": "carina-k1",
        "current": False,
        "expire": "2026-01-03T03:04:05Z",
    }
    removed = json.loads(carina("kubeconfig", "k1", "--remove", "-o", "json").out)
    assert removed == {"path": str(config), "context": "carina-k1"}


@pytest.mark.parametrize(
    ("typed", "query"),
    [("8h", "?lifetime_s=28800"), ("1h30m", "?lifetime_s=5400"), ("90s", "?lifetime_s=90"), (None, "")],
)
def test_a_lifetime_is_asked_for_in_seconds(
    carina: Carina, service: FakeService, typed: str | None, query: str
) -> None:
    assert carina("kubeconfig", "k1", *(["--lifetime", typed] if typed else [])).code == 0
    [(_, path, _, _)] = service.sent("GET", f"/clusters/{KUBERNETES_ID}/credentials/zip")
    assert path.endswith(f"/zip{query}")


@pytest.mark.parametrize(
    "args",
    [
        ("k1", "--lifetime", "8"),
        ("k1", "--lifetime", "-1h"),
        ("k1", "--lifetime", ""),
        ("k1", "--remove", "--output", "-"),
        ("k1", "--remove", "--lifetime", "8h"),
        ("k1", "-o", "yaml"),
        (),
    ],
)
def test_what_is_typed_wrong_sends_nothing(carina: Carina, service: FakeService, args: tuple[str, ...]) -> None:
    assert carina("kubeconfig", *args).code == 2
    assert service.requests == []


def test_a_swarm_has_no_kubeconfig(carina: Carina, config: Path) -> None:
    ran = carina("kubeconfig", "demo")
    assert ran.code == 2
    assert "carina env demo" in ran.err
    assert not config.exists()


def test_credentials_that_lack_a_file_leave_the_kubeconfig(carina: Carina, service: FakeService, config: Path) -> None:
    theirs(config)
    service.archives[KUBERNETES_ID] = service.archive
    ran = carina("kubeconfig", "k1")
    assert ran.code == 1
    assert "kubectl.config" in ran.err
    assert config.read_text() == OTHERS


@pytest.mark.parametrize("asked", ["k1", "K1", KUBERNETES_ID])
def test_remove_needs_no_service(carina: Carina, config: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    theirs(config)
    carina("kubeconfig", "k1")
    monkeypatch.setenv("CARINA_ENDPOINT", "http://127.0.0.1:1")
    ran = carina("kubeconfig", asked, "--remove")
    assert (ran.code, ran.out) == (0, f"carina-k1 is out of {config}\n"), ran.err
    after = read(config)
    assert after["current-context"] == ""
    assert "carina-k1" not in config.read_text()
    assert carina("kubeconfig", asked, "--remove").code == 3


def test_a_file_that_another_program_holds_is_left(
    carina: Carina, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carina_cli.kubeconfig_file.LOCK_WAIT_S", 0.05)
    theirs(config)
    lock = config.with_name("config.lock")
    lock.touch()
    ran = carina("kubeconfig", "k1")
    assert ran.code == 4
    assert str(lock) in ran.err
    assert config.read_text() == OTHERS
    assert lock.exists()


def test_what_cannot_be_written_is_said_so(carina: Carina, tmp_path: Path) -> None:
    ran = carina("kubeconfig", "k1", "--output", str(tmp_path))
    assert ran.code == 1
    assert "can't be changed" in ran.err
