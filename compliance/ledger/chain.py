"""A chain of entries: each holds the hash of the one before. Pure: bytes in, bytes out.

An entry is one line of canonical JSON:

    seq        number from 0, without gaps
    time       UTC, when it was written
    kind       what happened: "request_received", "plan_registered" ... (transitions.py lists)
    event      id of the event, "" for what concerns the ledger itself
    key        idempotency key, unique with kind and event; "" where there is none
    body       the facts
    previous   hash of the entry before, 64 zeros at the start
    hash       SHA-256 of this entry's canonical form without `hash`
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from compliance.formats import strict_json
from compliance.formats.errors import JsonError

START = "0" * 64
FIELDS = frozenset({"seq", "time", "kind", "event", "key", "body", "previous", "hash"})

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What the check of a chain found.

    Attributes:
        count: Entries that hold, from the start.
        head: Hash of the last of them.
        broken: Number of the first entry that does not hold, None where all do.
        problem: What is wrong with it; empty where nothing is.
    """

    count: int
    head: str
    broken: int | None = None
    problem: str = ""


def seal(content: Entry, last: Entry | None) -> Entry:
    """The entry that follows `last`.

    Args:
        content: `time`, `kind`, `event`, `key`, `body`.
    Raises:
        JsonError: a body without canonical form.
    """
    entry = {
        **content,
        "seq": 0 if last is None else last["seq"] + 1,
        "previous": START if last is None else last["hash"],
    }
    return {**entry, "hash": strict_json.digest(entry)}


def line(entry: Entry) -> bytes:
    """The entry as the ledger holds it, with its line end."""
    return strict_json.canonical(entry) + b"\n"


def split(content: bytes) -> tuple[list[bytes], bytes]:
    """Complete lines without their ends, and what stands after the last line end."""
    *lines, torn = content.split(b"\n")
    return lines, torn


def fault(text: bytes, index: int, previous: str) -> str:
    """Why a line cannot be entry `index` after one with hash `previous`; empty where it can."""
    return opened(text, index, previous)[1]


def opened(text: bytes, index: int, previous: str) -> tuple[Entry | None, str]:
    """The entry in a line, or why it cannot be number `index` after one with hash `previous`."""
    try:
        entry = strict_json.loads(text, f"Entry {index}")
        told = _digest(text, entry)
    except (JsonError, AttributeError) as error:
        return None, f"Entry {index} cannot be read: {error}"
    if not told:
        return None, f"Entry {index} was not written by this ledger: its form differs."
    if entry["seq"] != index:
        return (
            None,
            f"Entry {index} carries number {entry['seq']}: one was removed, added or moved.",
        )
    if entry["previous"] != previous:
        return None, f"Entry {index} does not follow the one before it: the chain is cut there."
    if entry["hash"] != told:
        return None, f"Entry {index} was changed after it was written."
    return entry, ""


def _digest(text: bytes, entry: Entry) -> str:
    """The hash that a line's content has; empty where the line is not in the ledger's form.

    Python's own JSON writes plain ASCII entries without fractions exactly as RFC 8785 does, and
    thirty times as fast; all others take the long way.
    """
    texts = entry.keys() == FIELDS and all(isinstance(entry[name], str) for name in _TEXTS)
    if not texts or type(entry["seq"]) is not int:
        return ""
    if _is_plain(text, entry):
        start = text.rindex(_HASH)  # the entry's own: what follows it holds no object
        end = start + len(_HASH) + len(entry["hash"]) + 1
        return hashlib.sha256(text[:start] + text[end:]).hexdigest()
    if strict_json.canonical(entry) != text:
        return ""
    return strict_json.digest({key: value for key, value in entry.items() if key != "hash"})


_TEXTS = ("event", "hash", "key", "kind", "previous", "time")
_HASH = b',"hash":"'
_PLAIN = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _is_plain(text: bytes, entry: Entry) -> bool:
    """Whether a line is in canonical form and so simple that Python's own JSON can tell."""
    if not text.isascii() or b"\\u" in text or _has_fractions(entry["body"]):
        return False
    return _PLAIN(entry).encode() == text


def _has_fractions(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_fractions, value.values()))
    return any(map(_has_fractions, value)) if isinstance(value, list) else isinstance(value, float)


def check(content: bytes) -> Check:
    """Whether the chain holds from its start to its end."""
    return read(content)[1]


def read(content: bytes) -> tuple[list[Entry], Check]:
    """The entries that hold, from the start, every hash computed anew; and what was found."""
    lines, torn = split(content)
    head = START
    entries: list[Entry] = []
    for index, text in enumerate(lines):
        entry, problem = opened(text, index, head)
        if entry is None:
            return entries, Check(count=index, head=head, broken=index, problem=problem)
        head = entry["hash"]
        entries.append(entry)
    if torn:
        problem = f"Entry {len(lines)} is cut short; the next entry made will repair that."
        return entries, Check(count=len(lines), head=head, broken=len(lines), problem=problem)
    return entries, Check(count=len(lines), head=head)


def parse(
    lines: Sequence[bytes], *, start: int = 0, previous: str = START
) -> Iterator[tuple[int, Entry | None]]:
    """Number and entry of each line, None from the first on that does not follow the one before.

    Cheaper than `check`, which also computes every hash anew.

    Args:
        lines: From number `start` on.
        start: Number of the first of them.
        previous: Hash of the entry before it.
    """
    for index, text in enumerate(lines, start):
        try:
            entry = strict_json.loads(text)
            linked = entry["seq"] == index and entry["previous"] == previous
            previous = entry["hash"]
        except (JsonError, KeyError, TypeError):
            linked = False
        if not linked:
            yield index, None
            return
        yield index, entry
