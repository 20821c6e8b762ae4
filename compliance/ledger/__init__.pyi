from . import (
    append_file,
    bodies,
    chain,
    checkpoint,
    entry_text,
    inbox,
    merkle,
    proofs,
    reaudits,
    since_signed,
    states,
    stats,
    transitions,
)
from .chain import Check, Entry
from .ledger import Ledger, verify
from .states import Event
from .transitions import KINDS, TRANSITIONS, State

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
