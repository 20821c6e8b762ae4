"""What an attempt has begun and finished: one line each, read by `damp status` and by people."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

from compliance.formats import files
from flows.state import logs, progress
from flows.state.errors import is_refusal
from flows.state.paths import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A step as people know it.

    Attributes:
        name: Everywhere the same: here, in Prefect, in the documentation.
        number: From 1.
        of: How many steps the event has.
        title: For people.
    """

    name: str
    number: int
    of: int
    title: str


def _former(number: int, name: str, title: str) -> Label:
    return Label(name=name, number=number, of=10, title=title)


FORMER: Mapping[str, Label] = {
    "accept": _former(1, "accept", "Accept the request"),
    "version_data": _former(2, "version_data", "Version the data"),
    "pin_model": _former(3, "pin_model", "Pin the model"),
    "references": _former(4, "train_references", "Retrain references"),
    "register_plan": _former(5, "register_plan", "Register the audit plan"),
    "cut": _former(6, "edit", "Extract prototypes and cut"),
    "audit": _former(7, "audit", "Audit candidate and controls"),
    "record": _former(8, "conclude", "Judge, report and sign"),
    "register": _former(9, "register", "Register in MLflow"),
    "close": _former(10, "close", "Close the event"),
}
"""Steps by their names in older journals, whose lines have neither number nor title."""


STOPPED = "stopped"
"""What a note says of a step that an error ended."""
REASON = 2000
"""Characters of the error that are kept."""


def reason(notes: Sequence[Mapping[str, Any]]) -> str:
    """Why the last step of an attempt stopped; "" where none did, or where one runs again.

    Args:
        notes: The attempt's, as `read` gives them.
    """
    return str(notes[-1].get("why", "")) if notes and notes[-1].get("what") == STOPPED else ""


@contextmanager
def entered(attempt: Attempt, step: Label) -> Iterator[None]:
    """Note that a step runs, and when it is done or why it stopped.

    Steps taken from memory do not come here.
    """
    progress.current().step(step.number, step.title)
    attempt.folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    log = logs.event(attempt.event, attempt.number)
    label = _label(step)
    _note(attempt, label | {"what": "began"})
    log.info("step began", facts={"step": step.name})
    try:
        yield
    except Exception as error:
        why = str(error) if is_refusal(error) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):  # the disk may be what is full: the error itself counts
            _note(attempt, label | {"what": STOPPED, "why": why[:REASON]})
        raise
    seconds = round(time.monotonic() - start, 3)
    _note(attempt, label | {"what": "done", "seconds": seconds})
    log.info("step done", facts={"step": step.name, "seconds": seconds})


def read(attempt: Attempt) -> list[dict[str, Any]]:
    """The notes of an attempt, oldest first; a line cut short by a crash is left out.

    Lines that an earlier damp wrote come under the names that steps have now.
    """
    if not attempt.journal.exists():
        return []
    lines = files.read(attempt.journal).decode(errors="replace").splitlines()
    return [note for line in lines if (note := _note_of(line)) is not None]


def _note_of(line: str) -> dict[str, Any] | None:
    """What a line says; None where a process died while writing it, or wrote something else."""
    try:
        note = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(note, dict) or not isinstance(note.get("step"), str):
        return None
    if "title" in note:
        return note
    return note | _label(FORMER[note["step"]]) if note["step"] in FORMER else None


def _label(step: Label) -> dict[str, Any]:
    return {"step": step.name, "number": step.number, "of": step.of, "title": step.title}


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
