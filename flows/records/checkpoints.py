"""Checkpoints of the ledger that are signed here: on request, and whenever an event is closed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from compliance.formats.errors import ComplianceError, LedgerBroken
from compliance.ledger import Entry, chain, checkpoint
from compliance.ledger.append_file import must_read
from compliance.ledger.checkpoint import Checkpoint
from compliance.verification import against_ledger
from flows.state import keyring, locks
from flows.state.errors import EventError, FlowError, StoreError
from flows.state.files import write_atomically
from flows.state.paths import Home


def make(home: Home) -> tuple[Checkpoint, str]:
    """Sign where the ledger stands, and keep it; the checkpoint and its note.

    Raises:
        LedgerBroken: The chain does not hold.
        StoreError: It does not continue the ledger that was signed last from here.
        EventError: There is no entry, or no key to sign with.
    """
    whole(home.ledger)  # what cannot be signed leaves no lock behind
    with locks.exclusive(home, "checkpoints"):
        entries, lines = whole(home.ledger)
        _refuse_a_fork(home, lines, entries)
        head = checkpoint.of(str(entries[0].body["origin"]), lines)
        note = checkpoint.sign(head, keyring.signing_key(home, "executor"))
        write_atomically(home.checkpoints / f"{head.size:08d}.txt", note.encode())
    return head, note


def at_close(home: Home) -> None:
    """Sign where the ledger stands after an event was closed, where a key for that is here.

    What cannot be signed is logged and holds nothing up: `damp ledger checkpoint` says why.
    """
    try:
        make(home)
    except (ComplianceError, FlowError, OSError) as error:
        logging.getLogger("damp").warning("no checkpoint was signed: %s", error)


def whole(path: Path) -> tuple[list[Entry], list[bytes]]:
    """Entries and lines of a ledger that holds and is not empty."""
    content = must_read(path)
    entries, check = chain.read(content)
    if check.broken is not None:
        raise LedgerBroken(f"{path}: {check.problem}", check.broken)
    if not entries:
        raise EventError(f"{path} has no entries yet: nothing to sign or to show.")
    return entries, chain.split(content)[0]


def _refuse_a_fork(home: Home, lines: list[bytes], entries: Sequence[Entry]) -> None:
    """Never sign a ledger that does not continue the one that was signed last from here."""
    kept = sorted(home.checkpoints.glob("*.txt")) if home.checkpoints.is_dir() else []
    if not kept:
        return
    last = checkpoint.load(kept[-1], keyring.trusted(home))
    problems = list(against_ledger.against(last, lines, entries))
    if problems:
        raise StoreError(
            f"This ledger does not continue the checkpoint {kept[-1]} that was signed here: "
            f"{' '.join(problems)} Was it restored from an older copy? Bring the newer one back; "
            "two histories under one name must never both be signed."
        )
