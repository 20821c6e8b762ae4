"""`damp keys`: make signing keys and show which are trusted."""

from __future__ import annotations

import os


def passphrase() -> bytes | None:
    """The passphrase of private keys, from the environment; None where none is set."""
    told = os.environ.get("DAMP_KEY_PASSPHRASE")
    return told.encode() if told else None
