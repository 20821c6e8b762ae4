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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from compliance import strictjson
from compliance.errors import JsonError

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
    return {**entry, "hash": strictjson.digest(entry)}


def line(entry: Entry) -> bytes:
    """The entry as the ledger holds it, with its line end."""
    return strictjson.canonical(entry) + b"\n"


def split(content: bytes) -> tuple[list[bytes], bytes]:
    """Complete lines without their ends, and what stands after the last line end."""
    *lines, torn = content.split(b"\n")
    return lines, torn


def fault(text: bytes, index: int, previous: str) -> str:
    """Why a line cannot be entry `index` after one with hash `previous`; empty where it can."""
    try:
        entry = strictjson.loads(text, f"Entry {index}")
        unsealed = {k: v for k, v in entry.items() if k != "hash"}
        same, told = strictjson.canonical(entry) == text, strictjson.digest(unsealed)
    except (JsonError, AttributeError) as error:
        return f"Entry {index} cannot be read: {error}"
    if entry.keys() != FIELDS or not same:
        return f"Entry {index} was not written by this ledger: its form differs."
    if entry["seq"] != index:
        return f"Entry {index} carries number {entry['seq']}: one was removed, added or moved."
    if entry["previous"] != previous:
        return f"Entry {index} does not follow the one before it: the chain is cut there."
    return "" if entry["hash"] == told else f"Entry {index} was changed after it was written."


def check(content: bytes) -> Check:
    """Whether the chain holds from its start to its end."""
    lines, torn = split(content)
    head = START
    for index, text in enumerate(lines):
        problem = fault(text, index, head)
        if problem:
            return Check(count=index, head=head, broken=index, problem=problem)
        head = strictjson.loads(text)["hash"]
    if torn:
        problem = f"Entry {len(lines)} is cut short; the next entry made will repair that."
        return Check(count=len(lines), head=head, broken=len(lines), problem=problem)
    return Check(count=len(lines), head=head)


def parse(lines: Sequence[bytes]) -> Iterator[tuple[int, Entry | None]]:
    """Number and entry of each line, None from the first on that does not follow the one before.

    Cheaper than `check`, which also computes every hash anew.
    """
    previous = START
    for index, text in enumerate(lines):
        try:
            entry = strictjson.loads(text)
            linked = entry["seq"] == index and entry["previous"] == previous
            previous = entry["hash"]
        except (JsonError, KeyError, TypeError):
            linked = False
        if not linked:
            yield index, None
            return
        yield index, entry
