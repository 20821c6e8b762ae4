"""SIGKILL at random moments of real events, resumed each time: what is left must be whole.

After every kill: a model under its final name has the bytes that it must have, and every ledger
entry that was there still is. After the event: one of each effect, a statement that holds.

Moments are drawn in two ways. Most events are killed step by step, each step at a random moment of
its own length and on average once, those from the signature on three times: the steps that move
files, tags and aliases take a hundredth of an event's time. Every fourth event is killed at random
moments of its whole time.
"""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.robustness import many_events
from compliance.ledger import Ledger, chain
from compliance.signing import envelope
from compliance.verification.verify import INVALID, UNSUPPORTED, verify_statement
from flows.state import journal
from flows.state.files import digest_file
from flows.state.paths import Attempt, Home
from flows.steps.table import STEPS

Facts = dict[str, Any]
Due = Callable[[int], bool]
"""Whether the process with this pid is to be killed now."""

ONCE = ("attempt_started", "plan_registered", "statement_signed", "model_promoted", "event_closed")
"""Entries that a PASSED event has exactly once."""
BY_TIME = 4
"""Every so manyth event is killed at moments of its whole time, at most `PER_EVENT` times."""
PER_EVENT = 3
AGAIN = 0.5
"""The chance that a step is killed, and killed once more: once on average."""
LATE, AGAIN_LATE = ("conclude", "register", "close"), 0.75
"""Steps that sign, register and close: three times on average."""


@dataclass
class Killed:
    """Counts.

    Attributes:
        kills: SIGKILLs sent to a running event.
        events: Events carried to their end.
        steps: How many kills hit which step of the event.
        after_signing: How many came when the ledger had a statement of the event.
        after_registration: How many came when its version stood in the registry.
        problems: What must not be, in words.
        torn: Ledger lines cut short by a kill and repaired.
        seconds: Of an event that nobody killed.
    """

    kills: int = 0
    events: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    after_signing: int = 0
    after_registration: int = 0
    problems: list[str] = field(default_factory=list)
    torn: int = 0
    seconds: float = 0.0

    def to_json(self) -> Facts:
        """The counts."""
        return {
            "kills": self.kills,
            "events": self.events,
            "kills_by_step": dict(sorted(self.steps.items())),
            "kills_after_signing": self.after_signing,
            "kills_after_registration": self.after_registration,
            "torn_lines_repaired": self.torn,
            "problems": self.problems,
            "seconds_of_an_undisturbed_event": round(self.seconds, 1),
        }


def loop(home: Home, kills: int, seed: int, minutes: float = math.inf) -> Killed:
    """So many kills over as many events as that takes; after so many minutes no new event."""
    draw = random.Random(f"kills {seed}")  # noqa: S311
    counted = Killed()
    setup = many_events.prepare(home, models=kills + 1, requests=1)
    events = [events[0] for events in setup["events"].values()]
    end = time.monotonic() + 60 * minutes
    many_events.warm_up()
    with many_events.server(home):
        began = time.monotonic()
        _finish(home, events[0], counted)
        counted.seconds = time.monotonic() - began
        if counted.problems:
            raise SystemExit(f"{counted.problems}: see {many_events.log_of(home)}")
        undisturbed = Attempt(home, events[0], 1)
        expected, lengths = digest_file(undisturbed.after), _lengths(undisturbed)
        for number, event in enumerate(events[1:]):
            if counted.kills >= kills or time.monotonic() > end:
                break
            attempt = Attempt(home, event, 1)
            if number % BY_TIME == BY_TIME - 1:
                moments = _of_its_time(draw, counted.seconds)
            else:
                moments = _of_its_steps(draw, attempt, lengths)
            _one(attempt, expected, counted, moments, kills)
    _registry(home, setup["events"], counted)
    return counted


def _lengths(attempt: Attempt) -> dict[str, float]:
    """Seconds of each step."""
    return {n["step"]: n["seconds"] for n in journal.read(attempt) if n["what"] == "done"}


def _of_its_time(draw: random.Random, seconds: float) -> Iterator[Due]:
    """Moments of a whole event, however far it is."""
    for _ in range(PER_EVENT):
        yield _after(draw.uniform(0, 1.05 * seconds))


def _of_its_steps(
    draw: random.Random, attempt: Attempt, lengths: dict[str, float]
) -> Iterator[Due]:
    """Moments of one step after the other, each as often as the draw has it."""
    for step in STEPS:
        again = AGAIN_LATE if step in LATE else AGAIN
        while draw.random() < again and not _notes(attempt, step, "done"):
            yield _within(attempt, step, draw.uniform(0, 1.05 * lengths[step]))


def _after(seconds: float) -> Due:
    end = time.monotonic() + seconds
    return lambda _: time.monotonic() >= end


def _within(attempt: Attempt, step: str, seconds: float) -> Due:
    """So many seconds after a process began a step."""
    end: list[float] = []

    def due(pid: int) -> bool:
        if not end and any(note["pid"] == pid for note in _notes(attempt, step, "began")):
            end.append(time.monotonic() + seconds)
        return bool(end) and time.monotonic() >= end[0]

    return due


def _notes(attempt: Attempt, step: str, what: str) -> list[Facts]:
    return [n for n in journal.read(attempt) if (n["step"], n["what"]) == (step, what)]


def _one(
    attempt: Attempt, expected: str, counted: Killed, moments: Iterator[Due], most: int
) -> None:
    """One event, killed at some moments and carried to its end."""
    home, event = attempt.home, attempt.event
    lines: list[bytes] = Ledger(home.ledger).lines()
    for due in moments:
        if counted.kills >= most:
            break
        pid = many_events.start(lambda: many_events.run(home, event), many_events.log_of(home))
        if not _killed(pid, due):
            break  # it was done before
        counted.kills += 1
        counted.steps[_step(attempt)] += 1
        counted.after_signing += bool(Ledger(home.ledger).of(event, "statement_signed"))
        counted.after_registration += bool(_notes(attempt, "register", "done"))
        lines = _lines_kept(home, lines, counted)
        _whole_or_absent(attempt.after, expected, event, counted)
    _finish(home, event, counted)
    _lines_kept(home, lines, counted)
    _whole(home, event, expected, counted)


def _killed(pid: int, due: Due) -> bool:
    """Whether the child was still at work when it was killed."""
    while not due(pid):
        done, _ = os.waitpid(pid, os.WNOHANG)
        if done:
            return False
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def _finish(home: Home, event: str, counted: Killed) -> None:
    pid = many_events.start(lambda: many_events.run(home, event), many_events.log_of(home))
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 2):
        counted.problems.append(f"{event}: resumed with exit code {code}")
    counted.events += 1


def _step(attempt: Attempt) -> str:
    notes = journal.read(attempt)
    return f"{notes[-1]['step']} {notes[-1]['what']}" if notes else "before the first step"


def _lines_kept(home: Home, before: list[bytes], counted: Killed) -> list[bytes]:
    """Every line that was whole before is still there, and the chain holds."""
    content = home.ledger.read_bytes()
    lines, torn = chain.split(content)
    counted.torn += bool(torn)
    if lines[: len(before)] != before:
        counted.problems.append(f"ledger: entries were lost after {len(before)}")
    checked = chain.check(b"".join(line + b"\n" for line in lines))
    if checked.broken is not None:
        counted.problems.append(f"ledger: {checked.problem}")
    return lines


def _whole_or_absent(path: Path, expected: str, event: str, counted: Killed) -> None:
    if path.exists() and digest_file(path) != expected:
        counted.problems.append(f"{event}: a mixed model under its final name")


def _whole(home: Home, event: str, expected: str, counted: Killed) -> None:
    """One of each effect, the right model, a statement that holds with ledger and model."""
    attempt = Attempt(home, event, 1)
    kinds = Counter(entry["kind"] for entry in Ledger(home.ledger).of(event))
    for kind in ONCE:
        if kinds[kind] != 1:
            counted.problems.append(f"{event}: {kinds[kind]} entries of {kind}")
    if not attempt.after.exists() or digest_file(attempt.after) != expected:
        counted.problems.append(f"{event}: another model after than an undisturbed event's")
    verification = verify_statement(
        attempt.statement, home.trust, model=attempt.after, ledger=home.ledger
    )
    if verification.exit_code in (INVALID, UNSUPPORTED):
        counted.problems.append(f"{event}: {' '.join(verification.problems)}")


def _registry(home: Home, events: dict[str, list[str]], counted: Killed) -> None:
    """One version for each event, with its statement; the alias on it; none without a PASSED."""
    entries = Ledger(home.ledger).entries()
    signed = {
        e["event"]: e["body"]["statement"] for e in entries if e["kind"] == "statement_signed"
    }
    for name, model in many_events.registered(home).items():
        (event,) = events[name]
        mine = {n: t for n, t in model["versions"].items() if t.get("damp.event_id") == event}
        if event not in signed:
            if mine or model["champion"] != 1:
                counted.problems.append(f"{name}: a version of an event that never ran")
            continue
        if len(mine) != 1 or len(model["versions"]) != 2:
            counted.problems.append(f"{name}: versions {sorted(model['versions'])}")
            continue
        ((number, tags),) = mine.items()
        passed = tags.get("damp.verdict") == "PASSED"
        if model["champion"] != (number if passed else 1):
            counted.problems.append(f"{name}: champion is {model['champion']}")
        statement = envelope.digest(Attempt(home, event, 1).statement.read_bytes())
        if statement != signed[event]:
            counted.problems.append(f"{name}: another statement than the ledger's")
