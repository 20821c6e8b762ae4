"""Checkpoints of the ledger: its name, its length and one hash over all of it, signed.

    ledger-8d912a71d0201a42
    20
    iUw5C3…=

    — ledger-8d912a71d0201a42 <signature>

A chain alone cannot see that its tail was cut off. Whoever holds a checkpoint can, and from two of
them and a proof of some hashes that nothing before the first was changed either, without seeing an
entry. The hash is the root of the Merkle tree over the ledger's lines without their line ends.

Source: https://c2sp.org/tlog-checkpoint; the trees are those of RFC 6962.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compliance.formats import files
from compliance.formats.errors import NoteError
from compliance.ledger import merkle
from compliance.signing import SigningKey, Trust, signed_note


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where a ledger stood.

    Attributes:
        origin: Its name.
        size: How many entries it had.
        root: Merkle root over them, 32 bytes.
        signed_by: Ids of the trusted keys that signed it.
    """

    origin: str
    size: int
    root: bytes
    signed_by: tuple[str, ...] = ()

    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def to_json(self) -> dict[str, str | int | list[str]]:
        """For machines."""
        signed = list(self.signed_by)
        return {"origin": self.origin, "size": self.size, "root": self.root.hex(), "keys": signed}


def of(origin: str, lines: Sequence[bytes]) -> Checkpoint:
    """The checkpoint of a ledger with these lines."""
    root = merkle.root(map(merkle.leaf_hash, lines))
    return Checkpoint(origin=origin, size=len(lines), root=root)


def sign(checkpoint: Checkpoint, key: SigningKey) -> str:
    """The checkpoint as a signed note; the key signs under the ledger's name."""
    return signed_note.sign(checkpoint.text(), checkpoint.origin, key)


def opened(content: str | bytes, trust: Trust, *, roles: Sequence[str] = ()) -> Checkpoint:
    """The checkpoint in a note that a trusted key has signed.

    Args:
        content: The note.
        trust: Whose signatures count.
        roles: Roles that count; all where none is named.
    Raises:
        NoteError: no note, no checkpoint, or no trusted key has signed it.
    """
    note = signed_note.parse(content)
    stated = parse(note.text)
    trusted = [(i, k.public_key) for i, k in trust.keys.items() if not roles or k.role in roles]
    signed_by = signed_note.signers(note, stated.origin, trusted)
    if not signed_by:
        raise NoteError(
            f"No trusted key has signed this checkpoint of {stated.origin}: use the trust file "
            "that lists the signer's key, or ask for a checkpoint that is signed."
        )
    return Checkpoint(origin=stated.origin, size=stated.size, root=stated.root, signed_by=signed_by)


def load(path: Path, trust: Trust) -> Checkpoint:
    """The checkpoint in a file.

    Raises:
        NoteError: unreadable, or what `opened` raises.
    """
    try:
        content = files.read(path, signed_note.LARGEST + 1)
    except OSError as error:
        raise NoteError(f"{path}: cannot be read: {error.strerror}.") from error
    try:
        return opened(content, trust)
    except NoteError as error:
        raise NoteError(f"{path}: {error}") from error


def parse(text: str) -> Checkpoint:
    """The checkpoint in the text of a note, whose signatures somebody else looks at.

    Raises:
        NoteError: it is none.
    """
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < 3 or not all(lines):
        raise NoteError("A checkpoint has a name, a number and a hash, each on a line.")
    origin, size, root = lines[:3]
    if not re.fullmatch(r"0|[1-9][0-9]{0,15}", size):
        raise NoteError(f"{size[:20]!r} is no number of entries.")
    return Checkpoint(origin=origin, size=int(size), root=hash_of(root))


def hash_of(text: str) -> bytes:
    """A hash of 32 bytes from its base64.

    Raises:
        NoteError: it is none.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{text[:60]!r} is no base64.") from error
    if len(raw) != merkle.BYTES or base64.b64encode(raw).decode() != text:
        raise NoteError(f"{text[:60]!r} is no hash of {merkle.BYTES} bytes in base64.")
    return raw
