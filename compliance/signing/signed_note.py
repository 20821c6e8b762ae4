"""Signed notes: a few lines of text and signatures beneath them, as transparency logs use them.

    <text, ending in a newline>

    — <key name> <base64 of key id (4 bytes) and signature>

Only Ed25519 (signature type 0x01). Signatures of unknown keys are ignored, as the format asks; one
of a known key that does not hold makes the whole note worthless.

Source: https://c2sp.org/signed-note
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from compliance.formats.errors import NoteError
from compliance.signing.keys import SigningKey, public_from_pem

ED25519 = b"\x01"
DASH = "\N{EM DASH} "
LARGEST = 64 * 1024
"""Bytes of a note; a checkpoint has some two hundred."""
SIGNATURES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note of proper form, its signatures not yet judged.

    Attributes:
        text: What is signed, with its last newline.
        signatures: (key name, key id, signature), in order.
    """

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]


def sign(text: str, name: str, key: SigningKey) -> str:
    """The note around a text.

    Raises:
        NoteError: a text that does not end in a newline or holds control characters, or a name
            with spaces or "+".
    """
    _check_text(text)
    if not name or "+" in name or any(c.isspace() for c in name):
        raise NoteError(f"{name!r} cannot name a key: no spaces, no plus sign.")
    raw = raw_public(key.public_key)
    signature = bytes.fromhex(key.signer.sign(text.encode()).signature)
    encoded = base64.b64encode(key_id(name, raw) + signature).decode()
    return f"{text}\n{DASH}{name} {encoded}\n"


def parse(note: str | bytes) -> Note:
    """The note in a text.

    Raises:
        NoteError: too large, no UTF-8, control characters, or no signature lines.
    """
    if len(note) > LARGEST:
        raise NoteError(f"This is no signed note: larger than {LARGEST} bytes.")
    try:
        whole = note.decode() if isinstance(note, bytes) else note
    except UnicodeDecodeError as error:
        raise NoteError(f"This is no signed note: no UTF-8 at byte {error.start}.") from error
    text, blank, tail = whole.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise NoteError("This is no signed note: a text, a blank line and signatures belong in it.")
    _check_text(text + "\n")
    lines = tail[:-1].split("\n")
    if len(lines) > SIGNATURES:
        raise NoteError(f"This note has more than {SIGNATURES} signatures.")
    return Note(text=text + "\n", signatures=tuple(map(_signature, lines)))


def signers(note: Note, name: str, keys: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Ids of the known keys that have signed under a name.

    Args:
        note: What `parse` returned.
        name: The key name that counts.
        keys: Id and PEM of each known public key.
    Raises:
        NoteError: a known key's signature does not hold.
    """
    by_hint = {key_id(name, raw): (keyid, raw) for keyid, pem in keys for raw in [raw_public(pem)]}
    signed = []
    for key_name, hint, signature in note.signatures:
        if key_name == name and hint in by_hint:
            keyid, raw = by_hint[hint]
            if not _holds(raw, signature, note.text.encode()):
                raise NoteError(f"The signature of key {keyid[:16]} does not hold: it was changed.")
            signed.append(keyid)
    return tuple(signed)


def key_id(name: str, raw: bytes) -> bytes:
    """The four bytes by which a note names a key: a hint, no fingerprint."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + raw).digest()[:4]


def raw_public(pem: str) -> bytes:
    """The 32 bytes of an Ed25519 public key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public_from_pem(pem).public_bytes(Encoding.Raw, PublicFormat.Raw)


def _holds(raw: bytes, signature: bytes, text: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, text)
    except InvalidSignature:
        return False
    return True


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise NoteError("A note's text ends in a newline and holds no other control character.")


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, space, encoded = line.removeprefix(DASH).partition(" ")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"This signature line is no base64: {line[:60]!r}.") from error
    if not line.startswith(DASH) or not name or not space or len(raw) <= 4:
        raise NoteError(f"This is no signature line of a note: {line[:60]!r}.")
    return name, raw[:4], raw[4:]
