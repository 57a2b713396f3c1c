"""A cluster's secrets at rest: sealed on the way in, opened on the way out, named by their place."""

from activities.ports import Vault
from activities.record_ports import Records
from domain.archives import decode, encode
from domain.errors import NotReady
from domain.secrets import Access, ClusterKeys, KeyPair

AUTHORITY = "authority"
CLIENT = "client"
KEYS = "keys"


class ClusterSecrets:
    """Keeps key pairs and files of clusters in the store, sealed by the vault. All calls block."""

    def __init__(self, records: Records, vault: Vault) -> None:
        self._records = records
        self._vault = vault

    def has(self, cluster_id: str, name: str) -> bool:
        """Return whether a secret of that name is kept."""
        return self._records.secret(cluster_id, name) is not None

    def keep_pair(self, cluster_id: str, name: str, pair: KeyPair) -> None:
        """Keep a key pair, unless one of that name is kept already."""
        self.keep_files(cluster_id, name, {"cert.pem": pair.cert_pem, "key.pem": pair.key_pem})

    def keep_files(self, cluster_id: str, name: str, files: dict[str, bytes]) -> None:
        """Keep some files as one secret, unless one of that name is kept already."""
        sealed = self._vault.seal(encode(files), context=f"{cluster_id}/{name}")
        self._records.put_secret(cluster_id, name, sealed)

    def files(self, cluster_id: str, name: str) -> dict[str, bytes]:
        """Return files that are kept as one secret; raise `NotReady` if none of that name is kept."""
        sealed = self._records.secret(cluster_id, name)
        if sealed is None:
            raise NotReady(f"The cluster {cluster_id} has no {name} yet.")
        return decode(self._vault.open(sealed, context=f"{cluster_id}/{name}"))

    def pair(self, cluster_id: str, name: str) -> KeyPair:
        """Return a key pair; raise `NotReady` if none of that name is kept."""
        files = self.files(cluster_id, name)
        return KeyPair(files["cert.pem"], files["key.pem"])

    def keys(self, cluster_id: str) -> ClusterKeys:
        """Return what the cluster's nodes get their certificates and keys from; raise `NotReady`."""
        more = self.files(cluster_id, KEYS) if self.has(cluster_id, KEYS) else {}
        return ClusterKeys(self.pair(cluster_id, AUTHORITY), more)

    def access(self, cluster_id: str) -> Access:
        """Return what the control plane needs to speak to the cluster's native API."""
        return Access(self.pair(cluster_id, AUTHORITY).cert_pem, self.pair(cluster_id, CLIENT))
