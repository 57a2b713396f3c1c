"""Steps about keys: the cluster's authority, and the certificates and keys made beside it."""

from collections.abc import Mapping

from temporalio import activity

from activities.inputs import Step
from activities.ports import Orchestrator, Pki
from activities.record_ports import Records
from activities.secrets import AUTHORITY, CLIENT, KEYS, ClusterSecrets


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
        """Ensure that the cluster has an authority, what its orchestrator needs beside it, and our own client.

        Each is made once and kept sealed; another call, or one after half of it, uses what is kept.
        """
        cluster = self._records.cluster(step.cluster_id)
        orchestrator = self._orchestrators[cluster.coe]
        if not self._secrets.has(cluster.id, AUTHORITY):
            self._secrets.keep_pair(cluster.id, AUTHORITY, self._pki.authority(cluster.name))
        more = {} if self._secrets.has(cluster.id, KEYS) else orchestrator.keys(cluster.name)
        if more:
            self._secrets.keep_files(cluster.id, KEYS, dict(more))
        if not self._secrets.has(cluster.id, CLIENT):
            authority = self._secrets.pair(cluster.id, AUTHORITY)
            client = self._pki.client(authority, name="carina", groups=orchestrator.control_groups)
            self._secrets.keep_pair(cluster.id, CLIENT, client)

    @activity.defn
    def discard_secrets(self, step: Step) -> None:
        """Ensure that nothing secret of the cluster is kept any more."""
        self._records.discard_secrets(step.cluster_id)
