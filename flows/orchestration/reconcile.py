"""What a crash leaves in Prefect and MLflow, put in order at the next start."""

from __future__ import annotations

import hashlib
import os
import socket
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import State, StateType
from prefect.states import Crashed

from compliance.ledger import Ledger
from flows.orchestration import server_loss
from flows.registry import client as tracking
from flows.servers import processes
from flows.state.paths import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

Facts = dict[str, Any]

MARK = "damp"


def tags(home: Home) -> list[str]:
    """What the flow runs of this process and state folder are known by."""
    facts = processes.identity(os.getpid())
    return [MARK, _place(home), f"process:{facts['pid']}:{facts['started']:.2f}"]


def reconcile(home: Home) -> Facts:
    """Mark what nobody works on any more; registrations that are half made are left for `run`.

    Returns:
        `crashed`: flow runs of processes that are gone; `ended`: MLflow runs of closed events.
    Raises:
        ServerError: The Prefect server was lost.
    """
    with server_loss.told():
        crashed = _stale_flow_runs(home)
    return {"crashed": crashed, "ended": _stale_mlflow_runs(home)}


def _place(home: Home) -> str:
    """This machine and state folder, as a digest: neither name leaves the house in a tag."""
    told = f"{socket.gethostname()} {home.root.absolute()}"
    return f"place:{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _stale_flow_runs(home: Home) -> list[str]:
    """Prefect shows a run that was killed as running for ever."""
    running = FlowRunFilterStateType(any_=[StateType.RUNNING])
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=running),
        tags=FlowRunFilterTags(all_=[MARK, _place(home)]),
    )
    ended = []
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=wanted):
            owner = next((tag for tag in run.tags if tag.startswith("process:")), "")
            if _is_gone(owner):
                state: State[Any] = Crashed(
                    message="Its process is gone; damp goes on with the event."
                )
                client.set_flow_run_state(run.id, state, force=True)
                ended.append(str(run.id))
    return ended


def _is_gone(owner: str) -> bool:
    _, pid, started = owner.split(":")
    return processes.same({"pid": int(pid), "started": float(started)}) is None


def _stale_mlflow_runs(home: Home) -> list[str]:
    """Runs that a killed registration has left open, of events that are no longer worked on."""
    if not tracking.exists(home):
        return []
    with tracking.opened(home) as client:
        experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
        if experiment is None:
            return []
        open_runs = client.search_runs(
            [experiment.experiment_id], "attributes.status = 'RUNNING'", max_results=1000
        )
        return _ended(client, home, open_runs)


def _ended(client: MlflowClient, home: Home, runs: list[Any]) -> list[str]:
    from compliance.ledger import states

    pending = {event.id for event in states.pending(Ledger(home.ledger).entries())}
    ended = []
    for run in runs:
        event = run.data.tags.get("damp.event_id")
        if event is not None and event not in pending:
            client.set_terminated(run.info.run_id, status="KILLED")
            ended.append(run.info.run_id)
    return ended
