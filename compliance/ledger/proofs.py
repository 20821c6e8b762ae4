"""Proofs about a ledger that its readers can check without seeing its other entries.

Between two checkpoints (the body of a witness's `add-checkpoint`, https://c2sp.org/tlog-witness):

    old 20
    <hash in base64>
    ...

    <the later checkpoint>

That an entry stands behind a checkpoint (https://c2sp.org/tlog-proof), the entry itself as `extra`:

    c2sp.org/tlog-proof@v1
    extra <the ledger's line in base64>
    index 17
    <hash in base64>
    ...

    <the checkpoint>
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from compliance.formats import strict_json
from compliance.formats.errors import JsonError, NoteError
from compliance.ledger import checkpoint, merkle
from compliance.ledger.chain import Entry
from compliance.ledger.checkpoint import Checkpoint
from compliance.signing import Trust

HEAD = "c2sp.org/tlog-proof@v1"
HASHES = 63
LARGEST = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Included:
    """An entry that stands behind a checkpoint.

    Attributes:
        entry: The ledger entry.
        index: Its number.
        checkpoint: The checkpoint.
    """

    entry: Entry
    index: int
    checkpoint: Checkpoint


def between(lines: Sequence[bytes], old: int, signed: str) -> str:
    """The proof that a ledger only grew since it had `old` entries.

    Args:
        lines: All lines behind the later checkpoint, without line ends.
        old: Number of entries at the earlier checkpoint, at least 1.
        signed: The later checkpoint, signed.
    """
    leaves = [merkle.leaf_hash(line) for line in lines]
    return _written([f"old {old}"], merkle.consistency(leaves, old), signed)


def inclusion(lines: Sequence[bytes], index: int, signed: str) -> str:
    """The proof that entry `index` stands behind a signed checkpoint over all of `lines`."""
    leaves = [merkle.leaf_hash(line) for line in lines]
    extra = base64.b64encode(lines[index]).decode()
    head = [HEAD, f"extra {extra}", f"index {index}"]
    return _written(head, merkle.inclusion(leaves, index), signed)


def check_between(old: Checkpoint, proof: str | bytes, trust: Trust) -> Checkpoint:
    """The later checkpoint, shown to continue the earlier one.

    Raises:
        NoteError: another ledger's, older, not signed, or not shown: the ledger was written anew
            in between, or two ledgers carry one name.
    """
    head, hashes, new = _read(proof, trust)
    if head != [f"old {old.size}"]:
        raise NoteError(f"This is no proof from {old.size} entries on: {_short(head)}.")
    if new.origin != old.origin:
        raise NoteError(f"The checkpoints are of two ledgers, {old.origin} and {new.origin}.")
    if not merkle.is_consistent(old.size, old.root, new.size, new.root, hashes):
        raise NoteError(
            f"{new.origin} with {new.size} entries does not continue the one with {old.size}: what "
            "stood before the first checkpoint was changed, or two ledgers carry one name. Keep "
            "both checkpoints: together they are the evidence."
        )
    return new


def check_inclusion(proof: str | bytes, trust: Trust) -> Included:
    """The entry that a proof brings along, shown to stand behind its checkpoint.

    Raises:
        NoteError: no proof of this form, not signed, or not shown.
    """
    head, hashes, behind = _read(proof, trust)
    if len(head) != 3 or head[0] != HEAD or not head[1].startswith("extra "):
        raise NoteError(f"This is no proof of an entry by damp: {_short(head)}.")
    number = re.fullmatch(r"index (0|[1-9][0-9]{0,15})", head[2])
    try:
        line = base64.b64decode(head[1].removeprefix("extra "), validate=True)
        entry = Entry(**strict_json.loads(line, "The entry of this proof"))
    except (binascii.Error, ValueError, TypeError, JsonError) as error:
        raise NoteError(f"The entry of this proof cannot be read: {error}.") from error
    if number is None:
        raise NoteError(f"This proof names no entry: {_short(head)}.")
    index = int(number[1])
    if not merkle.is_included(line, index, behind.size, behind.root, hashes):
        raise NoteError(
            f"Entry {index} is not shown to stand behind the checkpoint of {behind.origin} with "
            f"{behind.size} entries: it was changed, or the proof is of another ledger."
        )
    return Included(entry=entry, index=index, checkpoint=behind)


def _written(head: list[str], hashes: Sequence[bytes], signed: str) -> str:
    written = [base64.b64encode(one).decode() for one in hashes]
    return "\n".join([*head, *written]) + "\n\n" + signed


def _read(proof: str | bytes, trust: Trust) -> tuple[list[str], list[bytes], Checkpoint]:
    """Head lines, hashes, and the checkpoint, which a trusted key has signed."""
    if len(proof) > LARGEST:
        raise NoteError(f"This is no proof: larger than {LARGEST} bytes.")
    try:
        text = proof.decode() if isinstance(proof, bytes) else proof
    except UnicodeDecodeError as error:
        raise NoteError(f"This is no proof: no UTF-8 at byte {error.start}.") from error
    body, blank, signed = text.partition("\n\n")
    if not blank:
        raise NoteError("This is no proof: hashes, a blank line and a checkpoint belong in it.")
    lines = body.split("\n")
    count = next(
        (n for n, line in enumerate(lines) if " " not in line and line != HEAD), len(lines)
    )
    if len(lines) - count > HASHES:
        raise NoteError(f"This is no proof: more than {HASHES} hashes.")
    hashes = [checkpoint.hash_of(line) for line in lines[count:]]
    return lines[:count], hashes, checkpoint.opened(signed, trust)


def _short(head: Sequence[str]) -> str:
    return repr(" ".join(head)[:80])
