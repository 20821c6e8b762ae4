"""How a run is called on Prefect's pages, and what stands on its Logs tab.

Prefect's own forwarding of logs stays off: it hands on whatever any library says, and costs a
second at the end of each flow. What people want to read there is which step began when, and the
verdict.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from compliance.formats.errors import ComplianceError
from compliance.formats.plain_text import one_line
from flows.intake import claims, requests
from flows.state.errors import FlowError
from flows.state.paths import Home

LOGGER = "damp"


def name() -> str:
    """Of the run that begins: model, class, attempt, and the event's first characters.

    As in "digits: forget class 3, attempt 1 (5f0c7c2e)". The tags hold what programs look for.
    """
    given = flow_run.parameters
    home, event, attempt = Home(Path(given["home"])), str(given["event"]), int(given["attempt"])
    try:
        return f"{_subject(home, event)}, attempt {attempt} ({event[:8]})"
    except (ComplianceError, FlowError):
        return f"attempt {attempt} ({event[:8]})"  # its first step says what is wrong with it


def with_time() -> str:
    """Of a scheduled run that begins: what and when, as in "registry-scan, 2026-05-12 06:00"."""
    return f"{flow_run.flow_name}, {datetime.now(UTC):%Y-%m-%d %H:%M}"


def _subject(home: Home, event: str) -> str:
    """Which class of which model."""
    if home.claim(event).exists():
        claim = claims.claim_of(home, event)
        model = claim.original.registry or claim.original.file
        return one_line(f"claim on {model}: {_classes(claim.forget)} forgotten")
    request = requests.request_of(home, event)
    model = request.model.registry or request.model.file
    return one_line(f"{model}: forget {_classes(request.forget)}")


def _classes(indices: tuple[int, ...]) -> str:
    word = "class" if len(indices) == 1 else "classes"
    return f"{word} {', '.join(map(str, indices))}"


def log(line: str) -> None:
    """One line on the Logs tab of the run that is going on; nothing outside of one."""
    run = flow_run.id
    if run is None:
        return
    entry = {
        "name": LOGGER,
        "level": logging.INFO,
        "message": line,
        "timestamp": datetime.now(UTC).isoformat(),
        "flow_run_id": str(run),
    }
    with get_client(sync_client=True) as client:
        client.create_logs([entry])
