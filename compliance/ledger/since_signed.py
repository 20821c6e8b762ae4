"""What has happened to an attempt since its statement was signed. Pure: entries are given.

A statement cannot change any more; what it lists as kept may have been deleted since, its model may
have been promoted, a reviewer may have signed. The report that is brought up to date shows this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from compliance.formats import typed
from compliance.ledger import entry_text, reaudits
from compliance.ledger.bodies import ArtefactsPurged, StatementSigned
from compliance.ledger.chain import Entry
from compliance.signing import Trust
from compliance.signing.facts import Artefact

Row = dict[str, Any]

ELSEWHERE, NOWHERE = "copies elsewhere", "none but those listed"
"""Artefact and location of the line that says whether copies are known of at all."""


def since(
    entries: Sequence[Entry],
    event: str,
    digest: str,
    propagation: Sequence[Mapping[str, Any]],
    *,
    trust: Trust | None = None,
) -> Row:
    """Later facts about an event, and its artefacts as they are now.

    Args:
        entries: The whole ledger.
        event: Id of the event.
        digest: SHA-256 of the statement.
        propagation: The statement's `propagation`.
        trust: Whose signatures count; a re-audit that none of them signed is shown as unverified.
    Returns:
        `entries`: how many the ledger has; `at`: time of the last; `facts`: what happened since, in
        words; `propagation`: the artefacts, each with its last known status.
    """
    own = [entry for entry in entries if entry.event == event]
    start = next((entry.seq for entry in own if _signs(entry, digest)), -1)
    later = [entry for entry in own if entry.seq > start]
    return {
        "entries": len(entries),
        "at": entries[-1].time if entries else "",
        "facts": [_fact(e, unverified=_is_unverified(e, entries, trust)) for e in later],
        "propagation": now(propagation, later),
    }


def _signs(entry: Entry, digest: str) -> bool:
    return entry.kind == "statement_signed" and entry.read(StatementSigned).statement == digest


def _is_unverified(entry: Entry, entries: Sequence[Entry], trust: Trust | None) -> bool:
    if entry.kind != reaudits.KIND or trust is None:
        return False
    return not reaudits.holds(entry, entries, trust)


def _fact(entry: Entry, *, unverified: bool) -> Row:
    what, detail = entry_text.words(entry)
    if unverified:
        what = f"{what} (unverified: no trusted key has signed it)"
    return {"entry": entry.seq, "at": entry.time, "what": what, "detail": detail}


def now(propagation: Sequence[Mapping[str, Any]], later: Sequence[Entry]) -> list[Row]:
    """A statement's artefacts, overlaid with what was declared and deleted later."""
    listed = [typed.read(Artefact, row, "An artefact of the statement") for row in propagation]
    current = {artefact.place: artefact for artefact in listed}
    for entry in later:
        if entry.kind == "artefact_declared":
            declared = entry.read(Artefact)
            current[declared.place] = declared
            if declared.place == (ELSEWHERE, NOWHERE):
                current.pop((ELSEWHERE, "unknown"), None)
        if entry.kind == "artefacts_purged":
            note = f"Deleted {entry.time[:10]}, ledger entry {entry.seq}."
            for one in entry.read(ArtefactsPurged).artefacts:
                current[one.place] = replace(one, status="DELETED", note=note)
    return [typed.plain(artefact) for artefact in current.values()]
