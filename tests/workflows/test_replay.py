"""Workflows that are under way go on with changed code: each stored history is replayed with the present workflows."""

import json
from pathlib import Path
from typing import Any

import pytest
from changed_workflow import ReorderedCreateCluster
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from worker.temporal_worker import WORKFLOWS

HISTORIES = Path(__file__).parent / "histories"
NAMES = sorted(path.stem for path in HISTORIES.glob("*.json"))


def started(name: str) -> dict[str, Any]:
    """Return the first event of a stored history."""
    first = json.loads((HISTORIES / f"{name}.json").read_text())["events"][0]
    return dict(first["workflowExecutionStartedEventAttributes"])


def history(name: str) -> WorkflowHistory:
    """Return a stored history under its own workflow id, from which children's ids are made."""
    return WorkflowHistory.from_json(started(name)["workflowId"], (HISTORIES / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
async def test_a_stored_history_replays_with_the_present_workflows(name: str) -> None:
    replayer = Replayer(workflows=list(WORKFLOWS), data_converter=DataConverter.default)
    await replayer.replay_workflow(history(name))


def test_every_workflow_has_a_stored_history() -> None:
    assert {started(name)["workflowType"]["name"] for name in NAMES} == {workflow.__name__ for workflow in WORKFLOWS}


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("create") and "overlay" not in name])
async def test_a_workflow_whose_steps_changed_places_does_not_replay(name: str) -> None:
    replayer = Replayer(workflows=[ReorderedCreateCluster], data_converter=DataConverter.default)
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(history(name))
