"""What an attempt has begun and finished: one line each, read by `damp status` and by people."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO

from flows.state import logs, progress
from flows.state.paths import Attempt

STEPS = {
    "accept": "Accept the request",
    "version_data": "Version the data",
    "pin_model": "Pin the model",
    "references": "Retrain references",
    "register_plan": "Register the audit plan",
    "cut": "Extract prototypes and cut",
    "audit": "Audit candidate and controls",
    "record": "Judge, report and sign",
    "register": "Register in MLflow",
    "close": "Close the event",
}
"""The ten steps of DESIGN.md in order, with the words a person sees."""


@contextmanager
def entered(attempt: Attempt, step: str) -> Iterator[None]:
    """Note that `step` runs and when it is done. Steps taken from memory do not come here."""
    progress.current().step(list(STEPS).index(step) + 1, STEPS[step])
    attempt.folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    log = logs.event(attempt.event, attempt.number)
    _note(attempt, {"step": step, "what": "began"})
    log.info("step began", facts={"step": step})
    yield
    seconds = round(time.monotonic() - began, 3)
    _note(attempt, {"step": step, "what": "done", "seconds": seconds})
    log.info("step done", facts={"step": step, "seconds": seconds})


def read(attempt: Attempt) -> list[dict[str, Any]]:
    """The notes of an attempt, oldest first; a line cut short by a crash is left out."""
    if not attempt.journal.exists():
        return []
    notes = []
    for line in attempt.journal.read_text(errors="replace").splitlines():
        try:
            notes.append(json.loads(line))
        except json.JSONDecodeError:  # the process died while writing it: it says nothing
            continue
    return notes


def _note(attempt: Attempt, facts: dict[str, Any]) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps(facts | {"at": now, "pid": os.getpid()}) + "\n"
    with attempt.journal.open("ab+") as journal:
        if journal.tell() and _last_byte(journal) != b"\n":  # a crash cut the line before short
            line = "\n" + line
        journal.write(line.encode())


def _last_byte(journal: BinaryIO) -> bytes:
    journal.seek(-1, os.SEEK_END)
    return journal.read(1)
