"""The append-only ledger: entries, states, checkpoints, proofs, counts.

    append_file.py   A file that grows by whole lines, one writer at a time, each line safe before i
    chain.py         A chain of entries: each holds the hash of the one before. Pure: bytes in, byte
    checkpoint.py    Checkpoints of the ledger: its name, its length and one hash over all of it, si
    entry_text.py    Ledger entries in words: what happened, and the facts that a reader wants besid
    inbox.py         What is due: every open event with its clock and what has to happen next. Pure:
    ledger.py        The ledger: an append-only file, one entry a line, chained by hashes
    merkle.py        The Merkle tree of RFC 6962: roots, and proofs that need nothing but hashes to
    proofs.py        Proofs about a ledger that its readers can check without seeing its other entri
    since_signed.py  What the ledger tells about an attempt since its statement was signed. Pure: en
    states.py        Where each event stands, read from the ledger: the ledger is the only memory
    stats.py         Counts over requests: what a board asks for, and what some rules ask to be publ
    transitions.py   States of an event, the kinds of ledger entries, and which state may follow whi

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "append_file",
    "chain",
    "checkpoint",
    "entry_text",
    "inbox",
    "ledger",
    "merkle",
    "proofs",
    "since_signed",
    "states",
    "stats",
    "transitions",
]
