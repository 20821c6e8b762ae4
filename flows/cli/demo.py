"""The story that `damp demo` tells: a small company, a digit classifier, one request to forget."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime

from flows.intake import requests
from flows.operations import train_base
from flows.state.files import write_atomically
from flows.state.paths import Home

MODEL, POLICY, DIGIT = "digits", "demo-v1", 3

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
method: {{preset: mended}}
"""


def event_id(forget: int) -> str:
    """The demo's event for a digit: always the same, so that a second call finds the first."""
    content = hashlib.sha256(f"damp demo: forget {forget}".encode()).digest()
    return str(uuid.UUID(bytes=content[:16], version=4))


def prepare(home: Home, forget: int) -> None:
    """Train and register the classifier, unless that was done, and file the request."""
    from flows.registry import registration
    from flows.state import keyring

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
    told = REQUEST.format(id=event_id(forget), now=now, forget=forget, model=MODEL, policy=POLICY)
    write_atomically(file, told.encode())
    requests.submit(home, file)
