"""What `damp demo` leaves when it runs once from nothing: many tests look at it."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.ledger import Ledger
from flows.cli import demo
from flows.state.paths import Attempt, Home

EVENT = demo.event_id(demo.DIGIT)


def until_signature(ledger: Path, *, signed: bool) -> str:
    """A ledger's text up to the signature of the attempt that decides, with its entry or without.

    How many entries come before it depends on how many attempts the demo took.
    """
    lines = ledger.read_text().splitlines(keepends=True)
    kinds = [json.loads(line)["kind"] for line in lines]
    last = len(kinds) - 1 - kinds[::-1].index("statement_signed")
    return "".join(lines[: last + signed])


@dataclass(frozen=True)
class World:
    """Where the demo ran, and how it ended."""

    folder: Path
    result: subprocess.CompletedProcess[str]

    @property
    def home(self) -> Home:
        return Home(self.folder / "work" / ".damp")

    @property
    def attempts(self) -> int:
        """How many attempts of those that its policy declares the demo took."""
        return len(list(self.home.event(EVENT).glob("attempt-*")))

    @property
    def attempt(self) -> Attempt:
        """The last one, which decides."""
        return Attempt(self.home, EVENT, self.attempts)

    @property
    def statement(self) -> dict[str, Any]:
        envelope = json.loads(self.attempt.statement.read_text())
        decoded: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
        return decoded

    @property
    def predicate(self) -> dict[str, Any]:
        predicate: dict[str, Any] = self.statement["predicate"]
        return predicate

    def kinds(self) -> list[str]:
        return [entry["kind"] for entry in Ledger(self.home.ledger).entries()]
