"""An entry about a re-audit counts if a trusted executor signed it at this place of this ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compliance.formats import strict_json
from compliance.ledger import Entry, reaudits
from compliance.signing import SigningKey, Trust, TrustedKey, envelope

BODY = {"attempt": 1, "verdict": "PASSED", "findings": "f" * 64}
TIME = "2026-10-01T08:00:00Z"


def entry(number: int, kind: str = "attempt_started", **body: Any) -> Entry:
    return Entry(
        seq=number,
        kind=kind,
        event="e1",
        time=TIME,
        body=body,
        key="",
        previous="",
        hash=f"hash of {number}",
    )


BEFORE = [entry(number) for number in range(3)]


def reaudited(
    key: SigningKey,
    *,
    sequence: int = 3,
    previous: str = "hash of 2",
    payload_type: str = reaudits.TYPE,
    **facts: Any,
) -> Entry:
    """The fourth entry, whose signer saw so many entries."""
    said = {
        **BODY,
        "event": "e1",
        "ledger": {"sequence": sequence, "previous": previous},
        "time": TIME,
    }
    content = strict_json.canonical(said | facts)
    signed = envelope.sign_bytes(content, payload_type, key).decode()
    return entry(3, reaudits.KIND, **BODY, signed=signed)


def place(own: Entry, trust: Trust, entries: Sequence[Entry] = BEFORE) -> int | None:
    return reaudits.signed_at(own, [*entries, own], trust)


@pytest.mark.parametrize("sequence", [1, 2, 3])
def test_it_counts_from_the_place_where_it_was_signed(
    key: SigningKey, trust: Trust, sequence: int
) -> None:
    own = reaudited(key, sequence=sequence, previous=f"hash of {sequence - 1}")
    assert place(own, trust) == sequence
    assert reaudits.holds(own, [*BEFORE, own], trust)


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 0, "previous": "hash of 3"},
        {"sequence": -1, "previous": "hash of 2"},
        {"sequence": 4, "previous": "hash of 3"},
        {"previous": "hash of 1"},
        {"payload_type": "application/vnd.in-toto+json"},
        {"event": "e2"},
        {"attempt": 2},
        {"verdict": "FAILED"},
        {"findings": "0" * 64},
        {"ledger": None},
        {"time": "yesterday"},
        {"time": "2031-01-01T00:00:00Z"},  # no key of the trust file was valid then
    ],
)
def test_what_was_signed_of_something_else_or_elsewhere_does_not_count(
    key: SigningKey, trust: Trust, change: dict[str, Any]
) -> None:
    own = reaudited(key, **change)
    assert place(own, trust) is None
    assert not reaudits.holds(own, [*BEFORE, own], trust)


def test_nobodys_signature_and_another_roles_do_not_count(
    key: SigningKey, trust: Trust, trust_line: Callable[..., TrustedKey], tmp_path: Path
) -> None:
    own = reaudited(key)
    assert place(own, Trust(keys={})) is None
    assert place(own, Trust(keys={key.keyid: trust_line(key, "reviewer")})) is None
    assert place(reaudited(envelope.generate(tmp_path, demo=True)), trust) is None
    assert place(replace(own, body=BODY), trust) is None
    assert place(replace(own, body={**BODY, "signed": "no envelope"}), trust) is None
