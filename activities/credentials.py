"""Steps about keys: the cluster's authority, the certificates made from it, the archive for people."""

from collections.abc import Mapping

from temporalio import activity

from activities.inputs import Step
from activities.ports import Orchestrator, Pki, Records
from activities.secrets import AUTHORITY, CLIENT, CREDENTIALS, ClusterSecrets
from domain.secrets import Access


class CredentialActivities:
    """Mints and seals, inside one activity each, so that no key ever leaves it in the clear."""

    def __init__(
        self, records: Records, secrets: ClusterSecrets, pki: Pki, orchestrators: Mapping[str, Orchestrator]
    ) -> None:
        self._records = records
        self._secrets = secrets
        self._pki = pki
        self._orchestrators = orchestrators

    @activity.defn
    def ensure_authority(self, step: Step) -> None:
        """Ensure that the cluster has an authority, and the control plane a client certificate from it.

        Each is made once and kept sealed; another call, or one after half of it, uses what is kept.
        """
        cluster = self._records.cluster(step.cluster_id)
        if not self._secrets.has(cluster.id, AUTHORITY):
            self._secrets.keep_pair(cluster.id, AUTHORITY, self._pki.authority(cluster.name))
        if not self._secrets.has(cluster.id, CLIENT):
            authority = self._secrets.pair(cluster.id, AUTHORITY)
            self._secrets.keep_pair(cluster.id, CLIENT, self._pki.client(authority, name="carina"))

    @activity.defn
    def seal_credentials(self, step: Step) -> None:
        """Ensure that the archive with which people reach the cluster's native API is kept, sealed."""
        if self._secrets.has(step.cluster_id, CREDENTIALS):
            return
        cluster = self._records.cluster(step.cluster_id)
        orchestrator = self._orchestrators[cluster.coe]
        manager = self._records.nodes(cluster.id)[0].member
        authority = self._secrets.pair(cluster.id, AUTHORITY)
        person = self._pki.client(authority, name="admin")
        files = orchestrator.credentials(
            cluster.name, orchestrator.endpoint(manager), Access(authority.cert_pem, person)
        )
        self._secrets.keep_files(cluster.id, CREDENTIALS, dict(files))

    @activity.defn
    def discard_secrets(self, step: Step) -> None:
        """Ensure that nothing secret of the cluster is kept any more."""
        self._records.discard_secrets(step.cluster_id)
