"""Secrets in use: what is minted, used and sealed inside one activity. Nothing here is ever printed or logged."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class KeyPair:
    """A certificate with its private key, both PEM. Never printed: it has no repr."""

    cert_pem: bytes
    key_pem: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """What it takes to speak to a cluster's native API: the authority's certificate and a client's pair."""

    ca_pem: bytes
    client: KeyPair


@dataclass(frozen=True, slots=True, repr=False)
class ClusterKeys:
    """What a cluster's nodes get their certificates and keys from.

    `more` holds, by name, what the orchestrator minted for the cluster beside its authority.
    """

    authority: KeyPair
    more: Mapping[str, bytes]
