"""Steps that read or write Carina's own records and nothing else."""

from temporalio import activity

from activities.inputs import CountStep, FailStep, NodesStep, Step
from activities.notes import note
from activities.record_ports import Records
from domain.errors import StepFailed
from domain.nodes import NodeRef


class RecordActivities:
    """Keeps the rows in step with what workflows did. Each method is one transaction."""

    def __init__(self, records: Records) -> None:
        self._records = records

    @activity.defn
    def begin_operation(self, step: Step) -> bool:
        """Mark the operation as running under this very run; False if it is not to be run."""
        info = activity.info()
        return self._records.begin_operation(
            step.operation_id, workflow_id=str(info.workflow_id), run_id=str(info.workflow_run_id)
        )

    @activity.defn
    def reserve_nodes(self, step: CountStep) -> list[NodeRef]:
        """Reserve places, addresses and uid ranges, and note why there; the same ones when called again.

        Final: none left.
        """
        return list(self._records.reserve_nodes(step.operation_id, step.count, tell=note))

    @activity.defn
    def operation_nodes(self, step: Step) -> list[NodeRef]:
        """Return the nodes that this operation has reserved, for undoing it."""
        return list(self._records.operation_nodes(step.operation_id))

    @activity.defn
    def cluster_nodes(self, step: Step) -> list[NodeRef]:
        """Return all nodes of the cluster, manager first."""
        return [node.ref for node in self._records.nodes(step.cluster_id)]

    @activity.defn
    def overlay_names(self, step: Step) -> list[str]:
        """Return the names of the cluster's overlay networks."""
        return list(self._records.overlay_names(step.cluster_id))

    @activity.defn
    def choose_removals(self, step: CountStep) -> list[NodeRef]:
        """Mark the newest workers as removing, and return them; the same ones when called again."""
        return list(self._records.choose_removals(step.operation_id, step.count))

    @activity.defn
    def release_nodes(self, step: NodesStep) -> None:
        """Give back what the nodes held, and count the cluster's nodes anew."""
        self._records.release_nodes(step.cluster_id, step.node_ids or [])

    @activity.defn
    def mark_nodes_leftover(self, step: NodesStep) -> None:
        """Keep the reservations of nodes that could not be removed, until a sweep has removed them."""
        self._records.mark_nodes_leftover(step.cluster_id, step.node_ids or [])

    @activity.defn
    def forget_overlay(self, step: Step, overlay: str) -> None:
        """Drop the row of an overlay network that never came to be."""
        self._records.forget_overlay(step.cluster_id, overlay)

    @activity.defn
    def complete_operation(self, step: Step) -> None:
        """Record that the operation succeeded, and what the cluster is now."""
        self._records.complete_operation(step.operation_id)

    @activity.defn
    def fail_operation(self, step: FailStep) -> None:
        """Record that the operation failed or was cancelled, why, and what the cluster is now."""
        error = step.error or StepFailed("It failed without saying why.").record()
        self._records.fail_operation(step.operation_id, error, cancelled=step.cancelled)
