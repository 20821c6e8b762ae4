"""The scheduled compliance run: every pending request, the nearest deadline first."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.types.entrypoint import EntrypointType

from flows import callbacks, desk, intake
from flows.errors import BusyError, EventError, is_refusal
from flows.layout import Home
from flows.runner import run_event

Facts = dict[str, Any]

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DIGITS = 6
"""Of an interval's number at most: longer ones overflow."""


@flow(name="compliance-run", validate_parameters=False)
def compliance_run(home: str) -> list[Facts]:
    """Carry out all pending requests of a state folder; one that fails does not stop the others."""
    desk.remind(Home(Path(home)))
    try:
        return _decide_all(home)
    finally:
        callbacks.deliver(Home(Path(home)))


def _decide_all(home: str) -> list[Facts]:
    decided = [_decide(Home(Path(home)), event) for event in intake.pending(Home(Path(home)))]
    if decided:
        create_table_artifact(decided, key="verdicts", description="Decided in this run")
    return decided


def _decide(home: Home, event: str) -> Facts:
    """One event's outcome as a row; a refusal is an outcome, written down with its reason."""
    try:
        facts = run_event(home, event)
    except Exception as error:
        if not is_refusal(error):
            raise
        outcome = "BUSY" if isinstance(error, BusyError) else "ERROR"
        return {"event": event, "outcome": outcome, "report": "", "why": str(error)}
    report = str(home.root / facts["report"]["path"])
    return {"event": event, "outcome": facts["verdict"], "report": report, "why": ""}


def interval(text: str) -> timedelta:
    """How long `60s`, `15m`, `6h` or `1d` is.

    >>> interval("90s")
    datetime.timedelta(seconds=90)
    """
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None or int(found[1]) == 0 or len(found[1]) > DIGITS:
        raise EventError(f"--every '{text}' is no interval. Write 60s, 15m, 6h or 1d.")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def serve(home: Home, every: str) -> None:
    """Stay, and let Prefect's scheduler start a compliance run at every interval.

    One run at a time: a run that comes due while another works waits for it.
    """
    os.environ["DAMP_HOME"] = str(home.root)  # the scheduled runs are processes of their own
    compliance_run.serve(
        name="pending-requests",
        interval=interval(every),
        parameters={"home": str(home.root)},
        limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
        print_starting_message=False,
    )
