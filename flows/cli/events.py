"""Commands that carry events out: from a request to its report."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli import console
from flows.cli.options import (
    DONE,
    FILE,
    architecture,
    as_json,
    data,
    data_root,
    intervals,
    model,
    preprocessing,
    preset,
    time_of,
)

if TYPE_CHECKING:
    from rich.text import Text

    from flows.records.status import EventStatus
    from flows.state.paths import Home


REGULATIONS = ("gdpr", "ccpa", "contract", "recall", "other")
"""`Regulation` of a policy, without pydantic: help has to answer at once."""


@click.command()
@click.option(
    "--forget", multiple=True, required=True, help="Class index, or its folder's name; repeatable."
)
@model
@architecture
@data
@data_root
@preprocessing
@click.option("--recipe", help="How references are trained; default: the data set's recipe.")
@click.option("--policy", default="default-v5", show_default=True, help="Policy name or file.")
@click.option(
    "--regulation",
    type=click.Choice(REGULATIONS),
    help="On which ground it is asked; nothing is taken for granted. [asked for on a terminal]",
)
@preset("renewed", "retrain")
def request(forget: tuple[str, ...], regulation: str | None, **options: Any) -> int:
    """Print a request with a new id, to look through and submit.

    A class may be named by its folder; the request holds its index, as `damp classes` lists it. The
    regulation sets the clock and stands on the report's first page.

    \b
    Examples:
      damp request --forget 3 --model mnist@champion --data mnist --regulation gdpr > request.yaml
    """
    from flows.data import class_names
    from flows.intake import requests

    indices = class_names.indices(forget, options["data"], options["data_root"])
    ground = regulation or _asked_for()
    console.raw(requests.template(forget=indices, regulation=ground, **options))
    return DONE


def _asked_for() -> str:
    """The regulation, asked for on a terminal; what is printed goes into the request's file.

    Raises:
        UsageError: There is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"Say on which ground: --regulation {', '.join(REGULATIONS[:-1])} or {REGULATIONS[-1]}."
        )
    ground: str = click.prompt("On which ground", type=click.Choice(REGULATIONS), err=True)
    return ground


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--accept-low-accuracy",
    "low_accuracy",
    is_flag=True,
    help="Even if the model hardly knows its data; the statement says so.",
)
@click.option(
    "--accept-duplicates",
    "duplicates",
    is_flag=True,
    help="Even if the same image is in two classes or two parts; the statement says so.",
)
@click.option("--go-on", is_flag=True, help="Even if no model can be expected to pass.")
@click.option("--received", help="When it was received, if not at its submitted_time.")
@as_json
def submit(
    file: Path,
    low_accuracy: bool,
    duplicates: bool,
    go_on: bool,
    received: str | None,
    as_json: bool,
) -> int:
    """Check a request and write it into the ledger.

    `damp run` or the schedule carries it out. The same request again gives the same answer and
    has no second effect.

    \b
    Examples:
      damp submit request.yaml
      damp submit letter.yaml --received 2026-02-10T09:00+01:00
    """
    from flows.intake import forecasts, foreseen, model_checks, requests
    from flows.intake.model_checks import Acceptance
    from flows.state.settings import prepared

    place = prepared()
    accept = Acceptance(low_accuracy=low_accuracy, duplicates=duplicates, hopeless=go_on)
    receipt = requests.submit(place, file, accept, received=time_of(received, "--received"))
    checked = model_checks.kept(place, receipt.id)
    for warning in receipt.warnings:
        console.note(warning)
    if receipt.new:
        lines = [
            f"Accepted as event {receipt.id}, due {receipt.due}.",
            *checked.limits,
            *foreseen.of_request(receipt.foreseen, file),
            *foreseen.of_steps(forecasts.seconds_of_last(place)),
            console.next_step(f"damp run --event {receipt.id}"),
        ]
    else:
        lines = [f"Event {receipt.id} was filed before with the same content: nothing was done."]
    console.answer(receipt.to_json() | checked.to_json(), lines, as_json=as_json)
    return DONE


@click.command()
@click.option("--event", help="Id of one event; default: all that are pending.")
@as_json
def run(event: str | None, as_json: bool) -> int:
    """Carry out pending requests, the nearest deadline first.

    An event that was interrupted goes on after its last finished step.

    \b
    Examples:
      damp run
      damp run --event 5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11
    """
    from flows.cli import outcomes
    from flows.intake import lifecycle, requests, webhooks
    from flows.orchestration import engine
    from flows.records import status
    from flows.state import event_ids
    from flows.state.settings import prepared

    place = prepared()
    if event is not None:
        event = event_ids.whole(place, event)
        requests.unpark(place, event)
    lifecycle.remind(place)
    events = [event] if event else requests.pending(place)
    with console.bars():
        engine.carry_out(place, events)
    for delivery in webhooks.deliver(place):
        if delivery.problem:  # the next run tries again
            console.note(f"event {delivery.event[:8]}: {delivery.problem}")
    results = [status.one_event(place, each) for each in events]
    if as_json:
        pages = [result.to_json() for result in results]
        console.emit(pages[0] if event else pages)
    elif not events:
        console.say("Nothing is pending. `damp submit request.yaml` files a request.")
    else:
        outcomes.show(place, results)
    return outcomes.exit_code(results)


@click.command()
@click.option("--event", help="This one only.")
@as_json
def status(event: str | None, as_json: bool) -> int:
    """Show every event: state, verdict and why, what it does now, its report, what to do next.

    \b
    Examples:
      damp status
      damp status --event 5f0c7c2e
      damp status --json
    """
    from flows.records import status as records
    from flows.state import event_ids
    from flows.state.paths import Home
    from flows.state.settings import settings

    place = Home(settings().home)
    if event is None:
        events = records.all_events(place)
    else:
        events = [records.one_event(place, event_ids.whole(place, event))]
    console.answer([event.to_json() for event in events], _listed(events), as_json=as_json)
    return DONE


def _listed(events: Sequence[EventStatus]) -> Iterator[Text | str]:
    """A line for each event, and below it what can be copied or must be known."""
    from rich.text import Text

    from flows.records.status import attempt_in_words

    if not events:
        yield "No event yet. `damp demo` makes one; `damp submit` files a request."
    for event in events:
        sign, colour = console.VERDICTS.get(event.verdict or "", ("·", "default"))
        yield Text.assemble(
            (f"{sign} ", colour),
            f"{event.id}  {event.state}",
            (f"  {event.verdict or 'undecided'}", colour),
            (f"  {attempt_in_words(event)}, due {event.due[:10]}", "dim"),
        )
        said = any(event.problem and event.problem in step.text for step in event.next)
        problem = None if said else event.problem  # once is enough
        details = {"doing": event.doing, "problem": problem, "report": event.report}
        for name, value in details.items():
            if value:
                yield Text(f"  {name:<7} {value}")
        yield from (Text(f"  because {reason}") for reason in event.reasons)
        for step in event.next:
            yield Text(f"  next    {step.text}")
            if step.command:
                yield f"          {step.command}"


@click.command()
@intervals
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve /metrics for Prometheus on this port of 127.0.0.1. [default: off]",
)
def serve(every: str, reaudits: str, checks: str, scan: str, metrics_port: int | None) -> int:
    """Stay and carry out pending requests on Prefect's schedule.

    Re-audits that are due, spot checks of events under a qualification and the scan of the registry
    have schedules of their own. What was missed while nobody served is made up first. Each event
    has a line when it begins and one at its verdict.

    \b
    Examples:
      damp serve --every 60s
      damp serve --every 60s --metrics-port 9464
    """
    from flows.orchestration import engine
    from flows.state import progress
    from flows.state.settings import prepared

    place = prepared()
    progress.announce_here()
    with _metrics(place, metrics_port), engine.connected(place, scheduler=True) as server:
        from flows.orchestration import schedule

        often = {"every": every, "reaudits": reaudits, "checks": checks, "scan": scan}
        schedule.deployments(place, **often)  # an interval that is none is refused at once
        server.wait()
        console.say(
            f"Pending requests are carried out every {every}, re-audits looked for every "
            f"{reaudits}, spot checks every {checks}, the registry scanned every {scan}; Ctrl-C "
            "ends this."
        )
        console.say(f"State: {place.root}   Prefect API: {os.environ['PREFECT_API_URL']}")
        schedule.serve(place, **often)
    return DONE


@contextmanager
def _metrics(place: Home, port: int | None) -> Iterator[None]:
    """`/metrics` for the length of the block, where a port was named."""
    if port is None:
        yield
        return
    from flows.records import metrics
    from flows.servers import auth, metrics_server

    with metrics_server.served(
        lambda: metrics.text(place, datetime.now(UTC)),
        metrics.CONTENT_TYPE,
        port=port,
        auth=auth.auth_string(place.root),
    ) as address:
        console.say(f"Metrics: {address}, user damp, password in servers.auth of the state folder.")
        sys.stdout.flush()
        yield
