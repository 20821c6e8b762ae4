"""Envelopes with turned bits: what a reader would still believe."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from compliance.formats.errors import EnvelopeError
from compliance.signing import Trust, envelope


def believed(content: bytes, trust: Trust) -> bytes | None:
    """The payload that a reader would believe, None where the envelope is refused."""
    try:
        opened = envelope.open_envelope(content)
    except EnvelopeError:
        return None
    if opened.payload_type != envelope.PAYLOAD_TYPE:
        return None
    holds = [s.holds for s in envelope.verify_signatures(opened, trust)]
    return opened.payload if True in holds and False not in holds else None


def tiny(key: envelope.SigningKey) -> bytes:
    """An envelope small enough to turn every bit of it."""
    return envelope.sign_bytes(b'{"verdict":"FAILED"}', envelope.PAYLOAD_TYPE, key)


def every_bit(content: bytes, trust: Trust) -> dict[str, Any]:
    """All eight bits of every byte, one at a time."""
    payload = believed(content, trust)
    places = range(len(content))
    return _counted(
        payload,
        (believed(_flipped(content, place, bit), trust) for place in places for bit in range(8)),
    )


def many_bytes(content: bytes, trust: Trust, seed: int, inside: int) -> dict[str, Any]:
    """One bit, which one is drawn, of each byte around the payload and of so many drawn inside it.

    A real statement has most of a million bytes of payload, all under the signature; opening the
    envelope for each of them would take hours.
    """
    draw = random.Random(f"bytes {seed}")  # noqa: S311 - not for secrets
    payload = believed(content, trust)
    start = content.index(b'"payload": "') + len(b'"payload": "')
    end = content.index(b'"', start)
    around = [place for place in range(len(content)) if not start <= place < end]
    places = around + sorted(draw.sample(range(start, end), min(inside, end - start)))
    counts = _counted(
        payload,
        (believed(_flipped(content, place, draw.randrange(8)), trust) for place in places),
    )
    return counts | {"around_the_payload": len(around), "inside_it": len(places) - len(around)}


def _flipped(content: bytes, place: int, bit: int) -> bytes:
    out = bytearray(content)
    out[place] ^= 1 << bit
    return bytes(out)


def _counted(payload: bytes | None, payloads: Iterable[bytes | None]) -> dict[str, Any]:
    """How many were refused, how many said the same, how many anything else."""
    if payload is None:
        raise ValueError("The envelope does not hold as it is.")
    refused = same = other = 0
    for each in payloads:
        refused += each is None
        same += each == payload
        other += each not in (None, payload)
    return {
        "flips": refused + same + other,
        "refused": refused,
        "without_effect": same,
        "believed_another_content": other,
    }
