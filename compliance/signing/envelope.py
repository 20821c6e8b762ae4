"""Signatures over a statement: DSSE envelopes, Ed25519, any number of signers over the same bytes.

    key = signing.generate(folder)                  # once
    envelope = signing.sign(statement, key)         # the executor
    envelope = signing.countersign(envelope, other) # the reviewer: the same bytes, signed again
    envelope = signing.merge(envelope, copy)        # or: take over the signature from a copy
    opened = signing.open_envelope(envelope)        # strict; signatures not yet judged
    signing.verify_signatures(opened, trust)        # whose they are, and whether they hold

What names a statement in the ledger is the SHA-256 of its payload, `digest`: a sign-off adds a
signature to the envelope and leaves it as it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.formats import files, strict_json
from compliance.formats.errors import EnvelopeError, JsonError
from compliance.signing import statement as statements
from compliance.signing.keys import SigningKey, generate, load, public_from_pem, sslib_key
from compliance.signing.trust import Trust

__all__ = [
    "LARGEST",
    "PAYLOAD_TYPE",
    "Opened",
    "Signature",
    "SigningKey",
    "countersign",
    "decoded",
    "digest",
    "generate",
    "load",
    "merge",
    "open_envelope",
    "sign",
    "sign_bytes",
    "sign_payload",
    "verify_signatures",
]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST = 32 * 1024 * 1024  # bytes of an envelope; a statement has some hundred thousand
SIGNERS = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """An envelope of proper form.

    Attributes:
        payload: The signed bytes.
        payload_type: What they are.
        envelope: securesystemslib's envelope.
    """

    payload: bytes
    payload_type: str
    envelope: Any

    @property
    def digest(self) -> str:
        """SHA-256 of the payload, which names the statement."""
        return hashlib.sha256(self.payload).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature of an envelope.

    Attributes:
        keyid: Whose it says it is.
        role: The key's role; "" where the key is not trusted.
        holds: Whether it is that key's signature over these bytes; None where nobody can say.
        demo: Whether the key is one of the demonstration.
    """

    keyid: str
    role: str = ""
    holds: bool | None = None
    demo: bool = False


def sign(statement: Mapping[str, Any], key: SigningKey) -> bytes:
    """The envelope around a statement, signed once; a file's content.

    Raises:
        StatementError: the statement breaks its schema or contradicts itself.
    """
    statements.validate(statement)
    return sign_payload(statement, key)


def sign_payload(statement: Mapping[str, Any], key: SigningKey) -> bytes:
    """The envelope around any in-toto statement, in canonical form; a file's content."""
    return sign_bytes(strict_json.canonical(statement), PAYLOAD_TYPE, key)


def sign_bytes(payload: bytes, payload_type: str, key: SigningKey) -> bytes:
    """The envelope around any bytes of a type."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, payload_type, {})
    envelope.sign(key.signer)
    return _written(envelope)


def countersign(content: bytes, key: SigningKey) -> bytes:
    """The envelope with one signature more, over the same bytes; again with the same key: as it is.

    Raises:
        EnvelopeError: no proper envelope.
    """
    opened = open_envelope(content)
    if key.keyid in opened.envelope.signatures:
        return content
    opened.envelope.sign(key.signer)
    return _written(opened.envelope)


def merge(content: bytes, other: bytes) -> bytes:
    """The envelope with the signatures that another one over the same bytes has more.

    Raises:
        EnvelopeError: no proper envelopes, or over other bytes.
    """
    opened, more = open_envelope(content), open_envelope(other)
    if (opened.payload, opened.payload_type) != (more.payload, more.payload_type):
        raise EnvelopeError(
            f"The two envelopes are over different statements, {opened.digest[:16]} and "
            f"{more.digest[:16]}: a signature counts only for the bytes that it was made over."
        )
    fresh = more.envelope.signatures.keys() - opened.envelope.signatures.keys()
    if not fresh:
        return content
    opened.envelope.signatures |= {k: more.envelope.signatures[k] for k in sorted(fresh)}
    return _written(opened.envelope)


def open_envelope(content: bytes) -> Opened:
    """The envelope in a file's bytes, refused where two readers could see two things in it.

    Raises:
        EnvelopeError: too large, ambiguous JSON, unknown keys, no strict base64, a key that signs
            twice.
    """
    from securesystemslib.dsse import Envelope

    fields = _shape(content)
    payload = _base64(fields["payload"], "payload")
    for signature in fields["signatures"]:
        _base64(signature["sig"], "signature")
    try:
        envelope = Envelope.from_dict(fields)
    except (ValueError, TypeError) as error:
        raise EnvelopeError(f"The envelope is refused: {error}.") from error
    return Opened(payload=payload, payload_type=fields["payloadType"], envelope=envelope)


def verify_signatures(opened: Opened, trust: Trust) -> tuple[Signature, ...]:
    """Each signature with its key's role, and whether it holds."""
    return tuple(_judged(opened, trust, keyid) for keyid in opened.envelope.signatures)


def digest(content: bytes) -> str:
    """SHA-256 of an envelope's payload: the statement's name in the ledger.

    Raises:
        EnvelopeError: no proper envelope.
    """
    return open_envelope(content).digest


def decoded(path: Path) -> dict[str, Any]:
    """The statement in an envelope's file, its signatures not looked at.

    Raises:
        EnvelopeError: no proper envelope, or no JSON in it.
    """
    try:
        statement: dict[str, Any] = strict_json.loads(open_envelope(files.read(path)).payload)
    except OSError as error:
        raise EnvelopeError(f"{path}: cannot be read: {error.strerror}.") from error
    except JsonError as error:
        raise EnvelopeError(f"{path}: {error}") from error
    return statement


def _written(envelope: Any) -> bytes:
    return json.dumps(envelope.to_dict(), indent=1).encode() + b"\n"


def _shape(content: bytes) -> dict[str, Any]:
    if len(content) > LARGEST:
        raise EnvelopeError(f"The envelope is larger than {LARGEST} bytes: it is no statement.")
    try:
        fields = strict_json.loads(content, "The envelope")
    except JsonError as error:
        raise EnvelopeError(str(error)) from error
    whole = isinstance(fields, dict) and fields.keys() == {"payload", "payloadType", "signatures"}
    if not whole or not all(isinstance(fields[k], str) for k in ("payload", "payloadType")):
        raise EnvelopeError("The envelope must hold payload, payloadType, signatures: no DSSE.")
    signatures = fields["signatures"]
    if not isinstance(signatures, list) or not 0 < len(signatures) <= SIGNERS:
        raise EnvelopeError(f"The envelope must hold 1 to {SIGNERS} signatures.")
    for one in signatures:
        proper = isinstance(one, dict) and one.keys() == {"keyid", "sig"}
        if not proper or not all(isinstance(value, str) for value in one.values()):
            raise EnvelopeError("A signature must hold keyid and sig, both text.")
    return fields


def _base64(text: str, what: str) -> bytes:
    """Strictly: the one base64 text of these bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EnvelopeError(f"The envelope's {what} is no base64: {error}.") from error
    if base64.b64encode(raw).decode() != text:
        raise EnvelopeError(f"The envelope's {what} is base64 of a second form: it was changed.")
    return raw


def _judged(opened: Opened, trust: Trust, keyid: str) -> Signature:
    from securesystemslib.exceptions import VerificationError

    key = trust.keys.get(keyid)
    if key is None:
        return Signature(keyid=keyid)
    public = sslib_key(keyid, public_from_pem(key.public_key))
    try:
        opened.envelope.verify([public], 1)
    except VerificationError:
        return Signature(keyid=keyid, role=key.role, holds=False, demo=key.demo)
    return Signature(keyid=keyid, role=key.role, holds=True, demo=key.demo)
