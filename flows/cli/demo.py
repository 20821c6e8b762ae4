"""`damp demo`: a small company, a digit classifier, one request to forget a digit."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime

import click

from damp.catalogue import DEFAULT_PRESET
from flows.cli import console
from flows.cli.options import as_json
from flows.state.paths import Home

MODEL, POLICY, DIGIT = "digits", "demo-v3", 3

REQUEST = """\
# The request that `damp demo` files. `damp request` prints one for a model of your own.
apiVersion: damp/v1
kind: ErasureRequest
subject_request_id: {id}
regulation: other
submitted_time: {now}
scope: {{type: class, selector: {{index: {forget}}}}}
model: {{registry: "{model}@champion"}}
data: {{name: digits}}
recipe: digits
policy: {policy}
method: {{preset: {preset}}}
"""


@click.command()
@click.option(
    "--forget", type=click.IntRange(0, 9), default=DIGIT, show_default=True, help="Digit."
)
@as_json
def demo(forget: int, as_json: bool) -> int:
    """Train a digit classifier, make it forget a digit, audit it, report.

    A second call finds the finished event and shows it again.

    \b
    Examples:
      damp demo
      damp demo --forget 8 --json
    """
    from flows.cli import outcomes
    from flows.orchestration import engine
    from flows.records import status
    from flows.state.settings import prepared

    home, event = prepared(), event_id(forget)
    with console.bars():
        if any(filed.id == event for filed in status.all_events(home)):
            engine.carry_out(home, [event])
        else:
            with engine.connected(home) as server:
                prepare(home, forget)
                server.wait()
                engine.run_in_order(home, [event])
    return outcomes.answer(home, status.one_event(home, event), as_json=as_json)


def event_id(forget: int) -> str:
    """The demo's event for a digit: always the same, so that a second call finds the first."""
    content = hashlib.sha256(f"damp demo: forget {forget}".encode()).digest()
    return str(uuid.UUID(bytes=content[:16], version=4))


def prepare(home: Home, forget: int) -> None:
    """Train and register the classifier, unless that was done, and file the request."""
    from flows.intake import requests
    from flows.operations import train_base
    from flows.registry import registration
    from flows.state import keyring
    from flows.state.files import write_atomically

    keyring.ensure_demo_key(home)
    if registration.champion(home, MODEL) is None:
        train_base.base_model(
            home,
            name=MODEL,
            data="digits",
            data_root=None,
            recipe="digits",
            architecture=None,
            seed=0,
        )
    file = home.root / "demo" / f"request-{forget}.yaml"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    text = REQUEST.format(
        id=event_id(forget),
        now=now,
        forget=forget,
        model=MODEL,
        policy=POLICY,
        preset=DEFAULT_PRESET,
    )
    write_atomically(file, text.encode())
    requests.submit(home, file)
