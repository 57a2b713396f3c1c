import datetime as dt
import ipaddress
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from domain.secrets import KeyPair
from drivers.pki import CertificatePki


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return CertificatePki().authority("demo authority")


def test_openssl_trusts_a_server_for_its_names_and_addresses_and_no_other(authority: KeyPair, tmp_path: Path) -> None:
    server = CertificatePki().server(authority, name="demo-1", names=["demo-1"], addresses=["10.64.0.10", "fd00::1"])
    assert openssl_verify(tmp_path, authority, server, "-purpose", "sslserver", "-verify_ip", "10.64.0.10")
    assert openssl_verify(tmp_path, authority, server, "-purpose", "sslserver", "-verify_ip", "fd00::1")
    assert openssl_verify(tmp_path, authority, server, "-purpose", "sslserver", "-verify_hostname", "demo-1")
    assert not openssl_verify(tmp_path, authority, server, "-purpose", "sslserver", "-verify_ip", "10.64.0.11")


def test_a_server_is_no_client_and_a_client_no_server(authority: KeyPair, tmp_path: Path) -> None:
    server = CertificatePki().server(authority, name="demo-1", names=[], addresses=["10.64.0.10"])
    client = CertificatePki().client(authority, name="owner")
    assert openssl_verify(tmp_path, authority, client, "-purpose", "sslclient")
    assert not openssl_verify(tmp_path, authority, client, "-purpose", "sslserver")
    assert not openssl_verify(tmp_path, authority, server, "-purpose", "sslclient")


def test_another_clusters_authority_is_not_trusted_even_under_the_same_name(authority: KeyPair, tmp_path: Path) -> None:
    other = CertificatePki().authority("demo authority")
    client = CertificatePki().client(other, name="owner")
    assert not openssl_verify(tmp_path, authority, client, "-purpose", "sslclient")


def test_an_authority_signs_no_further_authority(authority: KeyPair) -> None:
    certificate = x509.load_pem_x509_certificate(authority.cert_pem)
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)


def test_certificates_are_valid_for_clocks_that_are_behind_and_end_with_their_authority(authority: KeyPair) -> None:
    leaf = x509.load_pem_x509_certificate(CertificatePki().client(authority, name="owner").cert_pem)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem)
    now = dt.datetime.now(dt.UTC)
    assert leaf.not_valid_before_utc < now - dt.timedelta(minutes=5)
    assert now + dt.timedelta(days=3600) < leaf.not_valid_after_utc <= issuer.not_valid_after_utc


def test_each_pair_is_new_and_matches(authority: KeyPair) -> None:
    pairs = [CertificatePki().client(authority, name="owner") for _ in range(2)]
    certificates = [x509.load_pem_x509_certificate(pair.cert_pem) for pair in pairs]
    assert certificates[0].serial_number != certificates[1].serial_number
    for pair, certificate in zip(pairs, certificates, strict=True):
        key = serialization.load_pem_private_key(pair.key_pem, password=None)
        assert key.public_key() == certificate.public_key()


def test_a_server_carries_what_it_was_given(authority: KeyPair) -> None:
    pair = CertificatePki().server(authority, name="n" * 80, names=["a", "b.example"], addresses=["10.0.0.1"])
    extensions = x509.load_pem_x509_certificate(pair.cert_pem).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a", "b.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.1")]
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_client_may_have_groups_and_a_short_life(authority: KeyPair) -> None:
    day = dt.timedelta(days=1)
    pair = CertificatePki().client(authority, name="ann", groups=("admins", "staff"), lifetime=day)
    leaf = x509.load_pem_x509_certificate(pair.cert_pem)
    groups = leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [group.value for group in groups] == ["admins", "staff"]
    left = leaf.not_valid_after_utc - dt.datetime.now(dt.UTC)
    assert day - dt.timedelta(minutes=1) < left <= day


def test_a_peer_is_server_and_client_in_one(authority: KeyPair, tmp_path: Path) -> None:
    peer = CertificatePki().peer(authority, name="demo-1", names=[], addresses=["127.0.0.1"])
    assert openssl_verify(tmp_path, authority, peer, "-purpose", "sslserver", "-verify_ip", "127.0.0.1")
    assert openssl_verify(tmp_path, authority, peer, "-purpose", "sslclient")


def test_a_pair_does_not_show_its_key(authority: KeyPair) -> None:
    assert authority.key_pem.decode() not in f"{authority!r} {authority}"
    assert "PRIVATE" not in repr(authority)


def openssl_verify(tmp: Path, authority: KeyPair, pair: KeyPair, *options: str) -> bool:
    (tmp / "ca.pem").write_bytes(authority.cert_pem)
    (tmp / "leaf.pem").write_bytes(pair.cert_pem)
    command = ("openssl", "verify", "-x509_strict", "-CAfile", str(tmp / "ca.pem"), *options, str(tmp / "leaf.pem"))
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
