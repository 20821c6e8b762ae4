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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from compliance.formats import strict_json, typed
from compliance.formats.errors import JsonError
from compliance.ledger.bodies import LedgerOpened

START = "0" * 64

Json = dict[str, Any]
Body = TypeVar("Body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry, as the head of this module lists it; `read` gives its body as typed facts."""

    seq: int
    time: str
    kind: str
    event: str
    key: str
    body: Mapping[str, Any]
    previous: str
    hash: str

    def __getitem__(self, name: str) -> Any:
        """A field by its name in the ledger's line."""
        return getattr(self, name)

    def read(self, kind: type[Body]) -> Body:
        """The body's facts, one of the classes in `bodies`.

        Raises:
            JsonError: a fact is missing, or has another form.
        """
        return typed.read(kind, self.body, f"Ledger entry {self.seq}")

    def to_json(self) -> Json:
        """The entry as its line holds it."""
        return {name: getattr(self, name) for name in sorted(FIELDS)}


FIELDS = frozenset(part.name for part in fields(Entry))


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The outcome of checking a chain.

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


def seal(content: Json, last: Entry | None) -> Entry:
    """The entry that follows `last`.

    Args:
        content: `time`, `kind`, `event`, `key`, `body`.
    Raises:
        JsonError: a body without canonical form.
    """
    entry = {
        **content,
        "seq": 0 if last is None else last.seq + 1,
        "previous": START if last is None else last.hash,
    }
    return Entry(**entry, hash=strict_json.digest(entry))


def line(entry: Entry) -> bytes:
    """The entry as the ledger holds it, with its line end."""
    return strict_json.canonical(entry.to_json()) + b"\n"


def origin(entries: Sequence[Entry]) -> str | None:
    """The name of the ledger with these entries; None where there is none yet."""
    return entries[0].read(LedgerOpened).origin if entries else None


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
        content = strict_json.loads(text, f"Entry {index}")
        own = _digest(text, content)
    except JsonError as error:
        return None, f"Entry {index} cannot be read: {error}"
    if not own:
        return None, f"Entry {index} was not written by this ledger: its form differs."
    entry = Entry(**content)
    if entry.seq != index:
        return None, f"Entry {index} carries number {entry.seq}: one was removed, added or moved."
    if entry.previous != previous:
        return None, f"Entry {index} does not follow the one before it: the chain is cut there."
    if entry.hash != own:
        return None, f"Entry {index} was changed after it was written."
    return entry, ""


def _digest(text: bytes, content: Any) -> str:
    """The hash that a line's content has; empty where the line is not in the ledger's form.

    Python's own JSON writes plain ASCII entries without fractions exactly as RFC 8785 does, and
    thirty times as fast; all others take the long way.
    """
    if not isinstance(content, dict) or content.keys() != FIELDS:
        return ""
    if not all(type(content[name]) is _TYPES[name] for name in FIELDS):
        return ""
    if _is_plain(text, content):
        start = text.rindex(_HASH)  # the entry's own: what follows it holds no object
        end = start + len(_HASH) + len(content["hash"]) + 1
        return hashlib.sha256(text[:start] + text[end:]).hexdigest()
    if strict_json.canonical(content) != text:
        return ""
    return strict_json.digest({key: value for key, value in content.items() if key != "hash"})


_TYPES = dict.fromkeys(FIELDS, str) | {"seq": int, "body": dict}
_HASH = b',"hash":"'
_PLAIN = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _is_plain(text: bytes, content: Json) -> bool:
    """Whether a line is in canonical form and so simple that Python's own JSON can tell."""
    if not text.isascii() or b"\\u" in text or _has_fractions(content["body"]):
        return False
    return _PLAIN(content).encode() == text


def _has_fractions(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_fractions, value.values()))
    return any(map(_has_fractions, value)) if isinstance(value, list) else isinstance(value, float)


def check(content: bytes) -> Check:
    """Whether the chain holds from its start to its end."""
    return read(content)[1]


def read(content: bytes) -> tuple[list[Entry], Check]:
    """The entries that hold, from the start, every hash computed anew; and the check."""
    lines, torn = split(content)
    head = START
    entries: list[Entry] = []
    for index, text in enumerate(lines):
        entry, problem = opened(text, index, head)
        if entry is None:
            return entries, Check(count=index, head=head, broken=index, problem=problem)
        head = entry.hash
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
            entry = Entry(**strict_json.loads(text))
        except (JsonError, TypeError):
            yield index, None
            return
        if (entry.seq, entry.previous) != (index, previous):
            yield index, None
            return
        previous = entry.hash
        yield index, entry
