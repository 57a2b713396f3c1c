"""Credentials for people: minted for one person when asked for, and kept nowhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from activities.ports import Orchestrator, Pki
from activities.record_ports import Records
from activities.secrets import AUTHORITY, ClusterSecrets
from domain.errors import NotReady
from domain.secrets import Access


@dataclass(frozen=True, slots=True, repr=False)
class IssuedCredentials:
    """Files of an archive, by name, and when the certificate in it ends; None is with the cluster."""

    files: Mapping[str, bytes]
    expires_at: datetime | None


class PeopleCredentials:
    """Issues what people reach a cluster's native API with. Blocks."""

    def __init__(
        self, records: Records, secrets: ClusterSecrets, pki: Pki, orchestrators: Mapping[str, Orchestrator]
    ) -> None:
        self._records = records
        self._secrets = secrets
        self._pki = pki
        self._orchestrators = orchestrators

    def issue(self, cluster_id: str, *, person: str, lifetime: timedelta | None) -> IssuedCredentials:
        """Mint a certificate for `person`, and return the archive's files with it.

        Without `lifetime` the orchestrator's usual one counts. Raises `NotFound`, `NotReady`.
        """
        cluster = self._records.cluster(cluster_id)
        nodes = self._records.nodes(cluster_id)
        if not nodes:
            raise NotReady(f"The cluster {cluster.name} has no nodes yet.")
        orchestrator = self._orchestrators[cluster.coe]
        authority = self._secrets.pair(cluster_id, AUTHORITY)
        lasts = lifetime or orchestrator.person_lifetime
        expires_at = None if lasts is None else datetime.now(UTC) + lasts
        client = self._pki.client(authority, name=person, groups=orchestrator.person_groups, lifetime=lasts)
        access = Access(authority.cert_pem, client)
        endpoint = orchestrator.endpoint(nodes[0].member)
        return IssuedCredentials(orchestrator.credentials(cluster.name, endpoint, access), expires_at)
