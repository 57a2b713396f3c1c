"""What a Kubernetes cluster's nodes have certificates and keys from, beside the cluster's own authority.

etcd and the front proxy have authorities of their own, as the Kubernetes documentation asks for
(https://kubernetes.io/docs/setup/best-practices/certificates/): whoever these trust is not thereby trusted by others.
"""

import secrets
from collections.abc import Mapping

from domain.secrets import KeyPair
from drivers.pki import CertificatePki

ETCD_CA = "etcd-ca"
FRONT_PROXY_CA = "front-proxy-ca"
SERVICE_ACCOUNT_PUBLIC = "service-accounts.pub"
SERVICE_ACCOUNT_PRIVATE = "service-accounts.key"
ENCRYPTION = "encryption.key"
_ENCRYPTION_BYTES = 32  # what secretbox (XSalsa20 and Poly1305) takes


def keys(pki: CertificatePki, cluster_name: str) -> Mapping[str, bytes]:
    """Mint them, by name. Each call mints anew."""
    files: dict[str, bytes] = {ENCRYPTION: secrets.token_bytes(_ENCRYPTION_BYTES)}
    for name in (ETCD_CA, FRONT_PROXY_CA):
        authority = pki.authority(f"{cluster_name} {name}")
        files |= {f"{name}.crt": authority.cert_pem, f"{name}.key": authority.key_pem}
    files[SERVICE_ACCOUNT_PUBLIC], files[SERVICE_ACCOUNT_PRIVATE] = pki.signing_key()
    return files


def authority_of(files: Mapping[str, bytes], name: str) -> KeyPair:
    """Return one of the authorities in what `keys` minted."""
    return KeyPair(files[f"{name}.crt"], files[f"{name}.key"])
