"""Commands as processes of their own, that can be killed, interrupted, or run out of disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from compliance.documents.policy import load_policy
from compliance.ledger import Ledger
from flows import models
from flows.intake import requests
from flows.state import journal
from flows.state.paths import Attempt, Home

SHAPE = (1, 8, 8)
SECONDS = 600.0
"""That anything here may take on a machine that does other things as well."""

KILLED_AT = """
import os, signal, sys
step, what = sys.argv.pop(1), sys.argv.pop(1)
from flows import __main__; from flows.state import journal
note = journal._note
def noted(attempt, facts):
    note(attempt, facts)
    if (facts["step"], facts["what"]) == (step, what):
        os.kill(os.getpid(), signal.SIGKILL)
journal._note = noted
__main__.main()
"""
"""Runs a command that is killed when a step begins, or is done and not yet remembered."""

FULL_AT = """
import resource, sys
step = sys.argv.pop(1)
from flows import __main__; from flows.state import journal
note = journal._note
def noted(attempt, facts):
    note(attempt, facts)
    if (facts["step"], facts["what"]) == (step, "began"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
journal._note = noted
__main__.main()
"""
"""Runs a command that can write 64 bytes into any file from when a step begins."""


@dataclass(frozen=True)
class Office:
    """A state folder and how commands are run on it, each in a process of its own."""

    home: Home
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        keys = str(self.home.root.parent / "keys")
        return os.environ | {"DAMP_HOME": str(self.home.root), "DAMP_KEYS": keys} | self.extra

    def damp(self, *arguments: str | Path, code: str | None = None) -> Any:
        """The finished process of a command; `code` runs it in another way."""
        how = ["-m", "flows"] if code is None else ["-c", code]
        return subprocess.run(
            [sys.executable, *how, *map(str, arguments)],
            env=self.environment,
            cwd=self.home.root.parent,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def json(self, *arguments: str | Path) -> Any:
        result = self.damp(*arguments, "--json")
        assert result.returncode in (0, 2), result.stderr
        return json.loads(result.stdout)

    def start(self, *arguments: str | Path, code: str | None = None) -> subprocess.Popen[str]:
        """A command that goes on, in a group of its own, as a shell would start it."""
        how = ["-m", "flows"] if code is None else ["-c", code]
        return subprocess.Popen(
            [sys.executable, *how, *map(str, arguments)],
            env=self.environment,
            cwd=self.home.root.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=interruptible,
        )

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for this state folder, servers included."""
        mine = str(self.home.root)
        processes = []
        for process in psutil.process_iter():
            try:
                environment = process.environ()
                alive = process.status() != psutil.STATUS_ZOMBIE
            except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            if alive and (
                environment.get("DAMP_HOME") == mine
                or environment.get("PREFECT_HOME", "").startswith(mine)
            ):
                processes.append(process)
        return processes

    def nothing_runs(self, seconds: float = SECONDS) -> bool:
        """Whether every process of this state folder ends by itself."""
        return eventually(lambda: not self.processes(), seconds)

    def is_pending(self, event: str) -> bool:
        """Whether the ledger has work left for an event; `damp status` takes a process to ask."""
        return event in requests.pending(self.home)

    def notes(self, event: str, attempt: int = 1) -> list[tuple[str, str]]:
        notes = journal.read(Attempt(self.home, event, attempt))
        return [(note["step"], note["what"]) for note in notes]


def eventually(holds: Callable[[], bool], seconds: float = SECONDS) -> bool:
    """Whether something comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return False


def interruptible() -> None:
    """A shell lets what it starts in the background ignore SIGINT; a terminal does not."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Ctrl-C: the whole group gets SIGINT, as from a terminal."""
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Whatever a test does, its process does not outlive it."""
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def opened(folder: Path, **extra: str) -> Office:
    """A registered digit classifier, a key, and a policy that asks for three references."""
    office = Office(Home(folder / "state"), extra)
    trained = office.damp("train", "--data", "digits", "--name", "digits")
    assert trained.returncode == 0, trained.stderr
    assert office.damp("keys", "new").returncode == 0
    with_policy(folder)
    return office


def with_policy(folder: Path) -> None:
    """A policy that asks for three references and no second attempt, beside the requests."""
    quick = load_policy("demo-v1").model_copy(
        update={"name": "quick", "references": 3, "fallback": "none"}
    )
    (folder / "quick.yaml").write_text(quick.model_dump_json())


def submitted(
    office: Office, forget: int, model: str | dict[str, str] = "digits@champion", **changed: Any
) -> str:
    """The id of a new request."""
    event = str(uuid.uuid4())
    content = {
        "apiVersion": "damp/v1",
        "kind": "ErasureRequest",
        "subject_request_id": event,
        "regulation": "gdpr",
        "submitted_time": datetime.now(UTC).isoformat(),
        "scope": {"type": "class", "selector": {"index": forget}},
        "model": {"registry": model} if isinstance(model, str) else model,
        "data": {"name": "digits"},
        "recipe": "digits",
        "policy": "quick.yaml",
    } | changed
    file = office.home.root.parent / f"{event}.yaml"
    file.write_text(json.dumps(content))
    # by policies of few references: what an earlier plan forecasts is not asked here
    assert office.json("submit", file, "--go-on")["id"] == event
    return event


def state_of(office: Office, event: str) -> dict[str, Any]:
    (state,) = [each for each in office.json("status") if each["id"] == event]
    return dict(state)


def whole(office: Office, event: str) -> None:
    """What must hold after any crash: a ledger that verifies, no half model under its name."""
    assert Ledger(office.home.ledger).verify().problem == ""
    for name in ("before.safetensors", "after.safetensors"):
        weights = Attempt(office.home, event, 1).folder / name
        if weights.exists():
            models.load_weights(weights, architecture="damp:cnn", classes=10, input_shape=SHAPE)
    assert state_of(office, event)["id"] == event


def decided_once(office: Office, event: str) -> None:
    """One entry of each kind, one registered version, the verdict in all places."""
    entries = Ledger(office.home.ledger).of(event)
    kinds = Counter(entry["kind"] for entry in entries)
    state = state_of(office, event)
    ending = (
        ["model_promoted", "event_closed"] if state["verdict"] == "PASSED" else ["attempt_closed"]
    )
    once = ["request_received", "attempt_started", "plan_registered", "statement_signed", *ending]
    assert kinds == Counter(once)
    assert office.damp("verify", state["statement"], "--ledger", office.home.ledger).returncode in (
        0,
        2,
    )
