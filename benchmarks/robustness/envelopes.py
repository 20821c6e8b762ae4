"""Envelopes with turned bits: what a reader would still believe."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from compliance import signing
from compliance.errors import EnvelopeError
from compliance.trust import Trust


def believed(content: bytes, trust: Trust) -> bytes | None:
    """The payload that a reader would believe, None where the envelope is refused."""
    try:
        opened = signing.open_envelope(content)
    except EnvelopeError:
        return None
    if opened.payload_type != signing.PAYLOAD_TYPE:
        return None
    holds = [s.holds for s in signing.judge(opened, trust)]
    return opened.payload if True in holds and False not in holds else None


def tiny(key: signing.SigningKey) -> bytes:
    """An envelope small enough to turn every bit of it."""
    return signing.sign_bytes(b'{"verdict":"FAILED"}', signing.PAYLOAD_TYPE, key)


def every_bit(content: bytes, trust: Trust) -> dict[str, Any]:
    """All eight bits of every byte, one at a time."""
    payload = believed(content, trust)
    places = range(len(content))
    return _counted(
        payload,
        (believed(_flipped(content, place, bit), trust) for place in places for bit in range(8)),
    )


def every_byte(content: bytes, trust: Trust, seed: int) -> dict[str, Any]:
    """One bit of every byte, which one is drawn."""
    draw = random.Random(f"bytes {seed}")  # noqa: S311 - not for secrets
    payload = believed(content, trust)

    places = range(len(content))
    return _counted(
        payload,
        (believed(_flipped(content, place, draw.randrange(8)), trust) for place in places),
    )


def _flipped(content: bytes, place: int, bit: int) -> bytes:
    out = bytearray(content)
    out[place] ^= 1 << bit
    return bytes(out)


def _counted(payload: bytes | None, found: Iterable[bytes | None]) -> dict[str, Any]:
    """How many were refused, how many said the same, how many anything else."""
    if payload is None:
        raise ValueError("The envelope does not hold as it is.")
    refused = same = other = 0
    for told in found:
        refused += told is None
        same += told == payload
        other += told not in (None, payload)
    return {
        "flips": refused + same + other,
        "refused": refused,
        "without_effect": same,
        "believed_another_content": other,
    }
