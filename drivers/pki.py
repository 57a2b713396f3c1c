"""Certificates of clusters: one authority each, servers and clients under it (X.509, RFC 5280; ECDSA P-256, SHA-256).

Certificates last ten years unless said otherwise, as those of people are. A cluster lives as long as its owner wants,
its nodes' engines read their certificates once and at their start, and nothing renews them: a shorter life would only
be a date on which the cluster goes dark. No certificate outlives its authority.
"""

import datetime as dt
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from domain.secrets import KeyPair

LIFETIME = dt.timedelta(days=3652)
CLOCK_SKEW = dt.timedelta(minutes=10)
"""How far a node's clock may be behind: certificates are valid from this long before they are made."""
_COMMON_NAME_MAX = 64  # RFC 5280, appendix A: ub-common-name


class CertificatePki:
    """Makes authorities and the certificates under them. Keeps nothing."""

    def authority(self, name: str) -> KeyPair:
        """Make an authority that may sign servers and clients, and no further authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name)
        start = dt.datetime.now(dt.UTC) - CLOCK_SKEW
        builder = (
            _builder(subject, subject, key.public_key(), start, start + LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        return _pair(builder.sign(key, hashes.SHA256()), key)

    def server(self, authority: KeyPair, *, name: str, names: Sequence[str], addresses: Sequence[str]) -> KeyPair:
        """Issue a server's certificate that carries every name and IP address by which a client may reach it.

        A host's address, which may be either, can be given as either.
        """
        return _issue(authority, _subject(name), [ExtendedKeyUsageOID.SERVER_AUTH], _alternatives(names, addresses))

    def peer(self, authority: KeyPair, *, name: str, names: Sequence[str], addresses: Sequence[str]) -> KeyPair:
        """Issue a certificate for one that both serves its like and asks them: a server's and a client's in one."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return _issue(authority, _subject(name), usages, _alternatives(names, addresses))

    def client(
        self, authority: KeyPair, *, name: str, groups: Sequence[str] = (), lifetime: dt.timedelta | None = None
    ) -> KeyPair:
        """Issue a client's certificate. `groups` are its organisations; without `lifetime` it lasts ten years."""
        subject = _subject(name, groups)
        return _issue(authority, subject, [ExtendedKeyUsageOID.CLIENT_AUTH], (), lifetime or LIFETIME)

    def signing_key(self) -> tuple[bytes, bytes]:
        """Make a pair of keys for signatures that no certificate is needed for; return the public one first, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return public, _key_pem(key)


def _issue(
    authority: KeyPair,
    subject: x509.Name,
    usages: Sequence[x509.ObjectIdentifier],
    alternatives: Sequence[x509.GeneralName],
    lifetime: dt.timedelta = LIFETIME,
) -> KeyPair:
    issuer = x509.load_pem_x509_certificate(authority.cert_pem)
    issuer_key = serialization.load_pem_private_key(authority.key_pem, password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        message = "an authority's key is on an elliptic curve"
        raise TypeError(message)
    key = ec.generate_private_key(ec.SECP256R1())
    start = dt.datetime.now(dt.UTC) - CLOCK_SKEW
    end = min(dt.datetime.now(dt.UTC) + lifetime, issuer.not_valid_after_utc)
    builder = (
        _builder(subject, issuer.subject, key.public_key(), start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return _pair(builder.sign(issuer_key, hashes.SHA256()), key)


def _subject(name: str, groups: Sequence[str] = ()) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, name[:_COMMON_NAME_MAX])])


def _alternatives(names: Sequence[str], addresses: Sequence[str]) -> Sequence[x509.GeneralName]:
    return [_alternative(item) for item in dict.fromkeys((*names, *addresses))]


def _alternative(text: str) -> x509.GeneralName:
    """Return an IP address as such, which clients compare with nothing else, and all else as a name (RFC 9525)."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: dt.datetime, end: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
