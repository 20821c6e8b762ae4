"""What the ledger tells about an attempt since its statement was signed. Pure: entries are given.

A statement cannot change any more; what it lists as kept may have been deleted since, its model may
have been promoted, a reviewer may have signed. The report that is brought up to date shows this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance.ledger import entry_text
from compliance.ledger.chain import Entry

Row = dict[str, Any]

ELSEWHERE, NOWHERE = "copies elsewhere", "none but those listed"
"""Artefact and location of the line that says whether copies are known of at all."""


def since(
    entries: Sequence[Entry], event: str, digest: str, told: Sequence[Mapping[str, Any]]
) -> Row:
    """Later facts about an event, and its artefacts as they are now.

    Args:
        entries: The whole ledger.
        event: Id of the event.
        digest: SHA-256 of the statement.
        told: The statement's `propagation`.
    Returns:
        `entries`: how many the ledger has; `at`: time of the last; `facts`: what happened since, in
        words; `propagation`: the artefacts, each with its last known status.
    """
    own = [entry for entry in entries if entry["event"] == event]
    signed = [e for e in own if e["kind"] == "statement_signed" and _digest(e) == digest]
    start = signed[0]["seq"] if signed else -1
    later = [entry for entry in own if entry["seq"] > start]
    return {
        "entries": len(entries),
        "at": entries[-1]["time"] if entries else "",
        "facts": [_fact(entry) for entry in later],
        "propagation": now(told, later),
    }


def _digest(entry: Entry) -> str:
    return str(entry["body"].get("statement", ""))


def _fact(entry: Entry) -> Row:
    what, detail = entry_text.words(entry)
    return {"entry": entry["seq"], "at": entry["time"], "what": what, "detail": detail}


def now(told: Sequence[Mapping[str, Any]], later: Sequence[Entry]) -> list[Row]:
    """A statement's artefacts, overlaid with what was declared and deleted later."""
    known = {(row["artefact"], row["location"]): dict(row) for row in told}
    for entry in later:
        if entry["kind"] == "artefact_declared":
            body = entry["body"]
            row = {name: body.get(name, "") for name in ("artefact", "location", "status", "note")}
            known[row["artefact"], row["location"]] = row
            if (row["artefact"], row["location"]) == (ELSEWHERE, NOWHERE):
                known.pop((ELSEWHERE, "unknown"), None)
        if entry["kind"] == "artefacts_purged":
            for one in entry["body"]["artefacts"]:
                place = one["artefact"], one["location"]
                deleted = {"artefact": place[0], "location": place[1], "status": "DELETED"}
                known[place] = deleted | {
                    "note": f"Deleted {entry['time'][:10]}, ledger entry {entry['seq']}."
                }
    return list(known.values())
