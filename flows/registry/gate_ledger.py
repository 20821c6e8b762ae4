"""What the ledger says about registered models, read once for a walk through the registry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from compliance.ledger import Entry, states
from flows.state.paths import Home

Facts = dict[str, Any]


@dataclass(slots=True)
class Known:
    """What the ledger says.

    Attributes:
        home: The state folder.
        entries: All of the ledger.
        promoted: The last promotion of each registered name.
        plans: Of each (event, attempt).
        failed_again: When an event's last re-audit was, where it did not pass; else "".
        unfinished: Events with work to do.
        erased: Digests of weights that an event has made forget.
        purged: Digests of weights that `damp purge` has deleted.
    """

    home: Home
    entries: list[Entry]
    promoted: dict[str, Facts] = field(default_factory=dict)
    plans: dict[tuple[str, int], Facts] = field(default_factory=dict)
    failed_again: dict[str, str] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for entry in self.entries:
            body, event = entry["body"], entry["event"]
            if entry["kind"] == "model_promoted":
                self.promoted[body["name"]] = body
            elif entry["kind"] == "plan_registered":
                self.plans[event, body["attempt"]] = body["plan"]
            elif entry["kind"] == "reaudited" and "verdict" in body:
                self.failed_again[event] = "" if body["verdict"] == "PASSED" else entry["time"]
        self.unfinished = {event.id for event in states.pending(self.entries)}
        passed = {
            (entry["event"], entry["body"]["attempt"])
            for entry in self.entries
            if entry["kind"] == "statement_signed" and entry["body"]["verdict"] == "PASSED"
        }
        gone = {e["event"] for e in self.entries if e["kind"] == "artefacts_purged"}
        self.purged = {plan["modelBefore"] for key, plan in self.plans.items() if key[0] in gone}
        self.erased = {self.plans[key]["modelBefore"] for key in passed if key in self.plans}
