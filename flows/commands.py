"""What the commands do, and what they tell the person who typed them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows import console, intake
from flows.layout import Home
from flows.settings import prepare_environment, settings

Facts = dict[str, Any]

DONE, NOT_PASSED = 0, 2


def submit(file: Path, *, as_json: bool) -> int:
    """Check a request and write it into the ledger."""
    home = _prepared()
    answer = intake.submit(home, file)
    if as_json:
        console.emit(answer)
    elif answer["new"]:
        console.out.print(f"Accepted as event {answer['id']}, due {answer['due']}.")
        console.out.print(f"Next: damp run --event {answer['id']}", soft_wrap=True)
    else:
        console.out.print(f"Event {answer['id']} is known with the same content: nothing was done.")
    return DONE


def run(event: str | None, *, as_json: bool) -> int:
    """Carry out one event or all pending ones."""
    home = _prepared()
    events = [event] if event else intake.pending(home)
    if event:
        intake.must_exist(home, event)
    outcomes = [_run_one(home, each, as_json=as_json) for each in events]
    if as_json:
        console.emit(outcomes[0] if event else outcomes)
    elif not events:
        console.out.print("Nothing is pending. `damp submit request.yaml` files a request.")
    return DONE if all(o["verdict"] == "PASSED" for o in outcomes) else NOT_PASSED


def _run_one(home: Home, event: str, *, as_json: bool) -> Facts:
    from flows import overview

    if overview.state_of(home, event)["state"] not in overview.FINISHED:
        with engine(home), console.bars():
            from flows.runner import run_event

            run_event(home, event)
    outcome = overview.state_of(home, event)
    if not as_json:
        _show(home, outcome)
    return outcome


@contextmanager
def engine(home: Home, *, scheduler: bool = False) -> Iterator[None]:
    """A Prefect API for the length of a command: the one that was configured, or a private one."""
    from flows import servers

    url = settings().prefect_api_url
    if url is not None:
        os.environ["PREFECT_API_URL"] = url
        yield
        return
    with servers.prefect_server(home.root, scheduler=scheduler) as server:
        os.environ["PREFECT_API_URL"] = server.api_url
        yield


def status(*, as_json: bool) -> int:
    """Every event with its state, verdict and report."""
    from flows import overview

    home = Home(settings().home)
    events = overview.all_events(home)
    if as_json:
        console.emit(events)
    elif not events:
        console.out.print("No event yet. `damp demo` makes one; `damp submit` files a request.")
    else:
        console.out.print(overview.table(events))
    return DONE


def serve(every: str) -> int:
    """Stay and carry out pending requests on Prefect's schedule."""
    home = _prepared()
    with engine(home, scheduler=True):
        from flows import schedule

        console.out.print(f"Pending requests are carried out every {every}; Ctrl-C ends this.")
        console.out.print(f"State: {home.root}   Prefect API: {os.environ['PREFECT_API_URL']}")
        schedule.serve(home, every)
    return DONE


def _prepared() -> Home:
    """The state folder, with the environment set for every engine, before any is imported."""
    home = Home(settings().home)
    prepare_environment(home.root)
    return home
