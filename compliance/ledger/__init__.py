"""The append-only ledger: what happened, where each event stands, and proofs for outsiders.

The file itself:

    append_file.py   a file that grows by whole lines, one writer at a time
    chain.py         the entries in it, each with the hash of the one before; pure
    bodies.py        what an entry holds that something is decided by, as typed facts
    ledger.py        `Ledger`: append, append once, read, verify

What it says:

    transitions.py   the states, one row each; kinds of entries, and the state each leads to
    states.py        where each event stands, or one event by its own entries
    inbox.py         what is due: each open event with its clock and next step
    entry_text.py    an entry in words
    reaudits.py      verdicts of re-audits, signed: which of them count
    since_signed.py  what has happened since a statement was signed
    stats.py         counts over requests, for a board or for publication

What somebody else can hold it to:

    merkle.py        the Merkle tree of RFC 6962; pure
    checkpoint.py    name, length and one hash over all of it, signed
    proofs.py        that it only grew, and that one entry stands in it

`__all__` is the door: what other rooms import. Nothing is imported before it is used.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

__all__ = [
    "KINDS",
    "TRANSITIONS",
    "Check",
    "Entry",
    "Event",
    "Ledger",
    "State",
    "append_file",
    "bodies",
    "chain",
    "checkpoint",
    "entry_text",
    "inbox",
    "merkle",
    "proofs",
    "reaudits",
    "since_signed",
    "states",
    "stats",
    "transitions",
    "verify",
]
