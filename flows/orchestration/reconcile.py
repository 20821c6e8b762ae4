"""What a crash leaves in Prefect and MLflow, put in order at the next start."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import State, StateType
from prefect.states import Crashed

from compliance.ledger import Ledger, states
from flows.orchestration import server_loss
from flows.registry import open_registry, registry_exists
from flows.servers import processes
from flows.state.paths import Home

MARK = "damp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What was marked as ended.

    Attributes:
        flow_runs: Ids of Prefect's runs whose process is gone.
        registry_runs: Ids of the registry's runs of events that nobody works on any more.
    """

    flow_runs: tuple[str, ...]
    registry_runs: tuple[str, ...]


def tags(home: Home) -> list[str]:
    """What the flow runs of this process and state folder are known by."""
    process = processes.Identity.of(os.getpid())
    return [MARK, _place(home), f"process:{process.pid}:{process.started:.2f}"]


def reconcile(home: Home) -> Reconciled:
    """Mark what nobody works on any more; registrations that are half made are left for `run`.

    Raises:
        ServerError: The Prefect server was lost.
    """
    with server_loss.translated():
        flow_runs = _end_flow_runs(home)
    return Reconciled(flow_runs=tuple(flow_runs), registry_runs=tuple(_end_registry_runs(home)))


def _place(home: Home) -> str:
    """This machine and state folder, as a digest: neither name leaves the house in a tag."""
    place = f"{socket.gethostname()} {home.root.absolute()}"
    return f"place:{hashlib.sha256(place.encode()).hexdigest()[:16]}"


def _end_flow_runs(home: Home) -> list[str]:
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
    return processes.find(processes.Identity(pid=int(pid), started=float(started))) is None


def _end_registry_runs(home: Home) -> list[str]:
    """Runs that a killed registration has left open, of events that are no longer worked on."""
    if not registry_exists(home):
        return []
    pending = {event.id for event in states.pending(Ledger(home.ledger).entries())}
    with open_registry(home) as registry:
        stale = [
            run.run_id
            for run in registry.open_runs()
            if run.event is not None and run.event not in pending
        ]
        for run_id in stale:
            registry.end_run(run_id)
    return stale
