"""What the commands do, and what they tell the person who typed them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cli import console
from flows.records import audit_cost
from flows.records import status as overview
from flows.state import keyring
from flows.state.paths import Home
from flows.state.settings import prepare_environment, settings

if TYPE_CHECKING:
    from flows.servers.private_prefect import PrefectServer

Facts = dict[str, Any]

DONE, NOT_PASSED = 0, 2


def demo(forget: int, *, as_json: bool) -> int:
    """From nothing to a signed report: train on digits, request, run. Again: show it again."""
    from flows.cli import demo as story

    home = prepared()
    event = story.event_id(forget)
    if event not in {known["id"] for known in overview.all_events(home)}:
        with console.bars(), engine(home) as server:
            story.prepare(home, forget)
            server.wait()
            _run_in_order(home, [event])
    else:
        carry_out(home, [event])
    outcome = overview.one_event(home, event)
    if as_json:
        console.emit(outcome)
    else:
        show(home, outcome)
    return DONE if outcome["verdict"] == "PASSED" else NOT_PASSED


def cost(*, as_json: bool, **asked: Any) -> int:
    """Predicted strengths per class and layer."""
    from flows.operations import cost as costing

    home = prepared()
    with console.bars():
        told = costing.cost(home, **asked)
    if as_json:
        console.emit(told)
    else:
        console.out.print(costing.table(told))
        console.out.print(
            "Strength: how much of the class's direction would be taken out of what a layer reads "
            "(1 is all). Disturbance: share of the other classes' variance that goes with it, at "
            "the layer where it is largest.",
            soft_wrap=True,
        )
    return DONE


def train(name: str, *, as_json: bool, **asked: Any) -> int:
    """Train a base model and register it."""
    from flows.operations import train_base

    home = prepared()
    with console.bars():
        made = train_base.base_model(home, name=name, **asked)
    if as_json:
        console.emit(made)
    else:
        console.out.print(
            f"Registered {made['name']} version {made['version']}, test accuracy "
            f"{made['test_accuracy']:.4f}.\nWeights: {made['weights']}\nNext: damp request --model "
            f"{made['name']}@champion --data {asked['data']} --forget 3 > request.yaml",
            soft_wrap=True,
        )
    return DONE


def submit(file: Path, *, as_json: bool) -> int:
    """Check a request and write it into the ledger."""
    from flows.intake import requests

    home = prepared()
    answer = requests.submit(home, file)
    if as_json:
        console.emit(answer)
    elif answer["new"]:
        told = f"Accepted as event {answer['id']}, due {answer['due']}."
        console.out.print(told, soft_wrap=True)
        console.out.print(f"Next: damp run --event {answer['id']}", soft_wrap=True)
    else:
        told = f"Event {answer['id']} is known with the same content: nothing was done."
        console.out.print(told, soft_wrap=True)
    return DONE


def run(event: str | None, *, as_json: bool) -> int:
    """Carry out one event or all pending ones."""
    from flows.intake import lifecycle, requests, webhooks
    from flows.state import event_ids

    home = prepared()
    if event is not None:
        event = event_ids.whole(home, event)
        requests.unpark(home, event)
    lifecycle.remind(home)
    events = [event] if event else requests.pending(home)
    carry_out(home, events)
    _tell_callbacks(webhooks.deliver(home))
    outcomes = [overview.one_event(home, each) for each in events]
    if as_json:
        console.emit(outcomes[0] if event else outcomes)
    elif not events:
        console.out.print("Nothing is pending. `damp submit request.yaml` files a request.")
    else:
        for outcome in outcomes:
            show(home, outcome)
    return DONE if all(o["verdict"] == "PASSED" for o in outcomes) else NOT_PASSED


def _tell_callbacks(sent: list[Facts]) -> None:
    """Messages that were not taken, on standard error; the next run tries again."""
    for one in sent:
        if "problem" in one:
            console.err.print(
                f"note: event {one['event'][:8]}: {one['problem']}", markup=False, soft_wrap=True
            )


def carry_out(home: Home, events: list[str]) -> None:
    """Run those of the events that have work to do; a decided one costs nothing."""
    waiting = [each for each in events if overview.one_event(home, each)["pending"]]
    if not waiting:
        return
    keyring.signing_key(home, "executor")  # found out now, not after an hour of audits
    _refuse_if_busy(home, waiting)
    with console.bars(), engine(home) as server:
        import flows.orchestration.event  # noqa: F401 - imported while the server starts

        server.wait()
        _run_in_order(home, waiting)


def _refuse_if_busy(home: Home, events: list[str]) -> None:
    """Find out before an engine is started that nothing can be run now.

    Raises:
        BusyError: Other runs hold the models of all these events.
    """
    from flows.intake import requests
    from flows.state import locks
    from flows.state.errors import BusyError

    busy: list[BusyError] = []
    for event in events:
        try:
            with locks.lineage(home, requests.lineage_of(home, event)):
                return
        except BusyError as error:
            busy.append(error)
    raise busy[0]


def _run_in_order(home: Home, events: list[str]) -> None:
    """One event after the other; one that is refused does not keep the others from their turn."""
    from flows.intake import batches
    from flows.orchestration import reconcile
    from flows.orchestration.runner import run_event
    from flows.state.errors import EventError, is_refusal

    reconcile.reconcile(home)
    batches.schedule(home, events)
    refused: list[Exception] = []
    for event in events:
        try:
            run_event(home, event)
        except Exception as error:
            if not is_refusal(error) or len(events) == 1:
                raise
            refused.append(error)
    if refused:
        reasons = " ".join(f"({n}) {error}" for n, error in enumerate(refused, 1))
        raise EventError(f"{len(refused)} of {len(events)} events could not be run: {reasons}")


def show(home: Home, outcome: Facts) -> None:
    """The panel at the end: verdict and why, the report, what to type next."""
    if outcome["verdict"] is None:
        console.out.print(f"Event {outcome['id']} is {outcome['state']}: nothing was decided.")
        return
    folder = Path(outcome["report"]).parent
    statement, after = folder / "statement.dsse.json", folder / "after.safetensors"
    console.verdict_panel(
        outcome["verdict"],
        outcome["reasons"] or [outcome["claim"]],
        {
            "event": f"{outcome['id']}, attempt {outcome['attempt']}, {outcome['state']}",
            "report": console.short(outcome["report"]),
        }
        | ({"audits": audit_cost.in_words(outcome["cost"])} if outcome["cost"] else {}),
        {
            "open the report": f"xdg-open {console.short(outcome['report'])}",
            "verify it": f"damp verify {console.short(statement)} --model {console.short(after)}",
        }
        | ({} if outcome["kind"] == "claim" else {"see the lineage": _pages(home)}),
        title="forgetting claim" if outcome["kind"] == "claim" else "unlearning event",
    )


def _pages(home: Home) -> str:
    """How to open MLflow's pages: those that are served, or the command that serves them."""
    from flows.servers import local_services

    served = local_services.running(home, "mlflow")
    url = settings().mlflow_uri or (served.url if served else None)
    return f"xdg-open {url}" if url else f"mlflow ui --backend-store-uri sqlite:///{home.mlflow_db}"


class _Given:
    """A Prefect server that is up already."""

    def wait(self) -> None:
        """Nothing to wait for."""


@contextmanager
def engine(home: Home, *, scheduler: bool = False) -> Iterator[PrefectServer | _Given]:
    """A Prefect API for a command: that of the settings, that of `damp up`, or a private one.

    The private one takes some seconds to come up: do what needs none before `wait`.
    """
    from flows.servers import endpoints, local_services, private_prefect

    url = endpoints.prefect_api() or local_services.prefect_api(home)
    if url is not None:
        os.environ["PREFECT_API_URL"] = url
        yield _Given()
        return
    with private_prefect.prefect_server(home.root, scheduler=scheduler) as server:
        os.environ["PREFECT_API_URL"] = server.api_url
        yield server


def status(*, as_json: bool) -> int:
    """Every event with its state, verdict and report."""
    home = Home(settings().home)
    events = overview.all_events(home)
    if as_json:
        console.emit(events)
    elif not events:
        console.out.print("No event yet. `damp demo` makes one; `damp submit` files a request.")
    else:
        console.out.print(overview.told(events), soft_wrap=True)
    return DONE


def serve(every: str, reaudits: str, scan: str) -> int:
    """Stay and carry out pending requests on Prefect's schedule."""
    home = prepared()
    with engine(home, scheduler=True) as server:
        from flows.orchestration import schedule

        often = {"every": every, "reaudits": reaudits, "scan": scan}
        schedule.deployments(home, **often)  # an interval that is none is refused at once
        server.wait()
        console.out.print(
            f"Pending requests are carried out every {every}, re-audits looked for every "
            f"{reaudits}, the registry scanned every {scan}; Ctrl-C ends this.",
            soft_wrap=True,
        )
        console.out.print(f"State: {home.root}   Prefect API: {os.environ['PREFECT_API_URL']}")
        schedule.serve(home, **often)
    return DONE


def prepared() -> Home:
    """The state folder, with the environment set for every engine, before any is imported."""
    home = Home(settings().home)
    prepare_environment(home.root)
    return home
