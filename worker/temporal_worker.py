"""The Temporal worker: all workflows, all activities, one task queue."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker

from workflows.configure_overlay import ConfigureOverlay
from workflows.create_cluster import CreateCluster
from workflows.delete_cluster import DeleteCluster
from workflows.drain_host import DrainHost
from workflows.grow_cluster import GrowCluster
from workflows.heal_cluster import HealCluster
from workflows.load_image import LoadImage
from workflows.move_nodes import MoveNodes
from workflows.prepare_host import PrepareHost
from workflows.publish_ports import PublishPorts
from workflows.remove_host import RemoveHost
from workflows.shrink_cluster import ShrinkCluster
from workflows.sweep_orphans import SweepCluster, SweepOrphans

WORKFLOWS = (
    CreateCluster,
    GrowCluster,
    ShrinkCluster,
    ConfigureOverlay,
    LoadImage,
    HealCluster,
    MoveNodes,
    PublishPorts,
    DeleteCluster,
    PrepareHost,
    DrainHost,
    RemoveHost,
    SweepOrphans,
    SweepCluster,
)
MAX_ACTIVITIES = 64
BUILD_ID = f"carina-{version('carina')}"
"""Said outright: the SDK's default hashes every loaded module, which takes 1.7 s of each start."""
GRACEFUL_SHUTDOWN = timedelta(seconds=5)
STICKY_TIMEOUT = timedelta(seconds=2)
HEARTBEAT_THROTTLE = timedelta(seconds=1)


def make_worker(
    client: Client, task_queue: str, activities: Sequence[Callable[..., Any]], interceptors: Sequence[Interceptor]
) -> Worker:
    """Return a worker on `task_queue` for `activities` and all of Carina's workflows.

    It runs inside `async with` or `run()`.
    """
    return Worker(
        client,
        task_queue=task_queue,
        workflows=list(WORKFLOWS),
        activities=list(activities),
        interceptors=list(interceptors),
        build_id=BUILD_ID,
        activity_executor=ThreadPoolExecutor(MAX_ACTIVITIES, thread_name_prefix="activity"),
        max_concurrent_activities=MAX_ACTIVITIES,
        graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
    )
