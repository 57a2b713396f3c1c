"""What operators say of hosts: taken in one spelling, or refused by the field and with what to send instead."""

import subprocess
from pathlib import Path

import pytest

from domain.errors import InvalidInput
from domain.host_input import AskedHost, check_host, fingerprint

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrYSSb1V4YPuaLwCmFVoB3Hp9+hcjOUBLxRDEOCd8t3"


def asked(**fields: object) -> AskedHost:
    return AskedHost(**{"name": "rack1", "address": "192.0.2.7", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("name", "Rack-1", "Rack-1"),
        ("name", "1" * 63, "1" * 63),
        ("address", "192.0.2.7", "192.0.2.7"),
        ("address", "2001:DB8::0:1", "2001:db8::1"),
        ("address", "::ffff:192.0.2.7", "192.0.2.7"),
        ("address", "Rack1.Example.ORG.", "rack1.example.org"),
        ("address", "rack1", "rack1"),
        ("user", "carina-admin", "carina-admin"),
        ("port", 2222, 2222),
        ("identity", "/root/.ssh/id_ed25519", "/root/.ssh/id_ed25519"),
        ("identity", "", ""),
        ("host_key", f" {KEY}  root@rack1\n", KEY),
        ("zone", "row-a", "row-a"),
        ("endpoint", "direct", "direct"),
        ("device", "/dev/disk/by-id/nvme-eui.0025", "/dev/disk/by-id/nvme-eui.0025"),
        ("fabric_address", "10.0.0.7", "10.0.0.7"),
    ],
)
def test_what_is_right_is_taken_in_one_spelling(field: str, sent: object, kept: object) -> None:
    checked = check_host(asked(**{field: sent}))
    assert getattr(checked, field) == kept
    assert check_host(checked) == checked


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        *(
            ("name", name)
            for name in ["", "-a", "a-", "a.b", "a_b", "a b", "a\n", "\xe4", "a" * 64, "\x00", "a" * 9999]
        ),
        *(
            ("address", address)
            for address in [
                "",
                "local",
                "Local",
                "localhost.",
                "127.0.0.1",
                "127.1.2.3",
                "::1",
                "::ffff:127.0.0.1",
                "0.0.0.0",
                "::",
                "224.0.0.1",
                "192.0.2",
                "192.0.2.256",
                "192.0.2.7:22",
                "root@rack1",
                "[2001:db8::1]",
                "fe80::1%eth0",
                "a..b",
                "-oProxyCommand=x",
                "rack 1",
                "a" * 254,
                ".".join(["a" * 63] * 4),
                "rack1\n",
                "999",
                "\ud800",
            ]
        ),
        *(("user", user) for user in ["", "-l", "a b", "root;id", "1a", "a" * 33, "root\n"]),
        *(("port", port) for port in [0, -1, 65536, 10**4000]),
        *(("identity", path) for path in ["id_rsa", "~/.ssh/id", "/a\x00b", "/a\nb", "/a/../b", "/" + "a" * 1024]),
        *(
            ("host_key", key)
            for key in [
                "x",
                "ssh-ed25519",
                "ssh-ed25519 !!!!",
                KEY[:-8],
                KEY.replace("ssh-ed25519 ", "ssh-rsa "),
                KEY.replace("ssh-ed25519 ", "rack1 ssh-ed25519 "),
                "ssh-dss AAAAB3NzaC1kc3MAAACBA",
                "ssh-ed25519 AAAA",
                "ssh-ed25519 \xe9",
                KEY + " " * 9000,
            ]
        ),
        *(("zone", zone) for zone in ["a b", "a/b", "-", "z" * 64]),
        *(("endpoint", endpoint) for endpoint in ["", "Direct", "both"]),
        *(("device", path) for path in ["sdb", "/dev", "/dev/", "/tmp/x", "/dev/../etc", "/dev/sd b", "/dev/a\n"]),
        *(
            ("fabric_address", address)
            for address in [
                "2001:db8::1",
                "rack1",
                "127.0.0.1",
                "0.0.0.0",
                "224.0.0.1",
                "255.255.255.255",
                "10.0.0.0/8",
            ]
        ),
    ],
)
def test_what_is_wrong_is_refused_by_its_field(field: str, sent: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_host(asked(**{field: sent}))
    assert refused.value.field == field
    assert refused.value.remedy != InvalidInput.default_remedy
    assert len(refused.value.detail) < 10_000


def test_a_fingerprint_is_what_ssh_says_it_is(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", key], check=True)
    public = check_host(asked(host_key=key.with_suffix(".pub").read_text())).host_key
    said = subprocess.run(["ssh-keygen", "-lf", f"{key}.pub"], check=True, capture_output=True, text=True).stdout
    assert fingerprint(public) == said.split()[1]
    assert fingerprint("") == ""


def test_a_host_that_is_asked_for_has_what_was_said_of_it() -> None:
    host = check_host(asked(user="ops", port=2222, host_key=KEY, zone="a", device="/dev/sdb")).host("id", "/root-of-it")
    assert (host.login.user, host.login.port, host.login.host_key) == ("ops", 2222, KEY)
    assert (host.id, host.root, host.zone, host.device, host.endpoint) == (
        "id",
        "/root-of-it",
        "a",
        "/dev/sdb",
        "published",
    )
    assert host.public_address == "192.0.2.7"
