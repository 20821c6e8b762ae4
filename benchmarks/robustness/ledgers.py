"""A ledger of fifty entries, attacked at every index; its reader holds the last checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from compliance.ledger import Entry, Ledger, chain, checkpoint
from compliance.ledger.checkpoint import Checkpoint
from compliance.verification.against_ledger import against

ENTRIES = 50


def examine(held: Checkpoint, content: bytes) -> list[str]:
    """What the holder of the checkpoint finds in a ledger's bytes; the chain is looked at first."""
    entries, check = chain.read(content)
    if check.broken is not None:
        return [check.problem]
    return list(against(held, chain.split(content)[0], entries))


def attacks(lines: list[bytes]) -> Iterator[tuple[str, int, bytes]]:
    """Kind of attack, index, and what the ledger then holds."""
    for index, line in enumerate(lines):
        edited = chain.line(replace(Entry(**json.loads(line)), event="x"))
        yield "edit", index, b"".join([*lines[:index], edited, *lines[index + 1 :]])
        yield "deletion", index, b"".join([*lines[:index], *lines[index + 1 :]])
        yield "truncation", index, b"".join(lines[:index])
        yield "doubling", index, b"".join([*lines[:index], line, *lines[index:]])
        if index + 1 < len(lines):
            pair = reversed(lines[index : index + 2])
            yield "reordering", index, b"".join([*lines[:index], *pair, *lines[index + 2 :]])
        if index:
            yield "rewriting", index, sealed_anew(lines, index)


def sealed_anew(lines: list[bytes], index: int) -> bytes:
    """The strongest forger changes an entry and seals all that follow: the chain holds again."""
    entries = [Entry(**json.loads(line)) for line in lines]
    forged = entries[:index]
    for old in entries[index:]:
        content = {name: old[name] for name in ("time", "kind", "event", "key", "body")}
        if old.seq == index:
            content["body"] = {"attempt": -1}
        forged.append(chain.seal(content, forged[-1]))
    return b"".join(map(chain.line, forged))


def fifty(path: Path) -> Ledger:
    """A ledger of fifty entries."""
    ledger = Ledger(path)
    for number in range(ENTRIES - 1):  # the first entry opens the ledger
        ledger.append("attempt_started", f"event-{number % 7}", {"attempt": number})
    return ledger


def attacked(path: Path) -> dict[str, Any]:
    """Every attack at every index: how many, and those that nobody would have noticed."""
    ledger = fifty(path)
    lines = path.read_bytes().splitlines(keepends=True)
    held = checkpoint.of(ledger.position()["origin"], ledger.lines())
    if examine(held, path.read_bytes()):
        raise ValueError("The ledger does not hold as it is.")
    kinds: dict[str, int] = {}
    unseen = []
    for kind, index, content in attacks(lines):
        kinds[kind] = kinds.get(kind, 0) + 1
        if not examine(held, content):
            unseen.append(f"{kind} at {index}")
    return {"entries": len(lines), "attacks": kinds, "unseen": unseen}
