"""The ledger: an append-only file, one entry a line, chained by hashes.

One writer at a time (a lock that the kernel frees when its holder dies), every entry on the disk
before `append` returns. A line that a crash has cut short was never acknowledged: the next writer
removes it and says so in an entry of its own.

A chain shows what was changed, removed or reordered inside. It cannot show that its tail was cut
off: for that a second party keeps `position()` from time to time, and `verify` is given it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compliance.formats import strict_json
from compliance.formats.errors import LedgerBroken, LedgerConflict, LedgerError
from compliance.ledger import append_file, chain, states
from compliance.ledger.chain import Check, Entry

FORMAT = "damp/ledger/v1"
OPENED, REPAIRED = "ledger_opened", "tail_repaired"


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Ledger:
    """The ledger in one file.

    The file is read anew at every call; what was parsed before is kept and used again only where
    the file still begins with exactly those bytes.

    Args:
        path: The JSONL file; made with its first entry. A lock file lies beside it.
        now: Where the time comes from.
    """

    def __init__(self, path: Path, *, now: Callable[[], datetime] = utc_now) -> None:
        self.path = Path(path)
        self._now = now

    def entries(self) -> list[Entry]:
        """All entries, oldest first; a line that is being written is not there yet.

        Raises:
            LedgerBroken: an entry cannot be read or does not follow the one before.
        """
        return self._parsed(append_file.read(self.path))

    def of(self, event: str, kind: str | None = None) -> list[Entry]:
        """The entries of one event, of one kind where it is given."""
        return [e for e in self.entries() if e.event == event and kind in (None, e.kind)]

    def find(self, kind: str, event: str, key: str) -> Entry | None:
        """The entry that `append_once` made, None where it has not."""
        return _find(self.entries(), kind, event, key)

    def head(self) -> str:
        """Hash of the last entry; 64 zeros where there is none."""
        return str(self.position()["previous"])

    def lines(self) -> list[bytes]:
        """The whole lines as they stand in the file, without line ends, their chain not checked."""
        return chain.split(append_file.read(self.path))[0]

    def position(self) -> dict[str, Any]:
        """Where the ledger stands, as a statement's `event.ledger` holds it.

        Returns:
            `origin`: the ledger's name; `sequence`: the number of entries, which is the number of
            the next; `previous`: the last one's hash.
        """
        entries = self.entries()
        return {
            "origin": chain.origin(entries) or "",
            "sequence": len(entries),
            "previous": entries[-1].hash if entries else chain.START,
        }

    def append(
        self, kind: str, event: str, body: Mapping[str, Any], *, checked: bool = False
    ) -> Entry:
        """Write an entry; it is on the disk when this returns.

        Args:
            kind: What happened.
            event: Whose it is.
            body: The facts.
            checked: Whether the event's state must allow it, by what stands before the entry.
        Raises:
            LedgerBroken: the last entry does not hold.
            LedgerError: the disk refused; nothing is left behind.
            JsonError: a body that is no JSON.
            StateError: the event's state does not allow it.
        """
        with self._writing() as descriptor:
            if checked:
                states.check(self.entries(), kind, event, body)
            return self._add(descriptor, kind, event, "", body)

    def append_once(
        self,
        kind: str,
        event: str,
        key: str,
        body: Mapping[str, Any],
        *,
        checked: bool = False,
    ) -> Entry:
        """Write an entry unless it is there; the same call again has no second effect.

        Args:
            kind: And `event` and `key`: together they name the entry.
            body: The facts; at a second call the same as at the first.
            checked: Whether the event's state must allow a new entry.
        Returns:
            The entry, new or from before.
        Raises:
            LedgerConflict: it is there with other facts.
            And what `append` raises.
        """
        if not key:
            raise LedgerError(f"{kind} of event {event} needs a key to be entered once: give one.")
        with self._writing() as descriptor:
            earlier = _find(self.entries(), kind, event, key)
            if earlier is None:
                if checked:
                    states.check(self.entries(), kind, event, body)
                return self._add(descriptor, kind, event, key, body)
        if strict_json.digest(earlier.body) != strict_json.digest(dict(body)):
            raise LedgerConflict(
                f"Entry {earlier.seq} of the ledger holds {kind} {key!r} of event {event} with "
                "other content. What is written stays: use another id, or the same content."
            )
        return earlier

    def repair(self) -> bool:
        """Remove a line that a crash has cut short, and log it. Each writer does so first.

        Returns:
            Whether there was one.
        """
        if not chain.split(append_file.read(self.path))[1]:
            return False
        with self._writing():
            return True

    def verify(self) -> Check:
        """Compute every hash anew; see `verify` below."""
        return verify(self.path)

    def _parsed(self, content: bytes) -> list[Entry]:
        parsed, entries = _PARSED.get(self.path, (b"", []))
        if not parsed or not content.startswith(parsed):
            parsed, entries = b"", []
        whole = content[: content.rfind(b"\n") + 1]
        fresh = chain.split(whole[len(parsed) :])[0]
        previous = entries[-1].hash if entries else chain.START
        every = list(entries)
        for index, entry in chain.parse(fresh, start=len(every), previous=previous):
            if entry is None:
                raise LedgerBroken(
                    f"{self.path}: entry {index} cannot be read or does not follow the one before. "
                    "Compare with a copy; `damp ledger verify` says more.",
                    index,
                )
            every.append(entry)
        _PARSED.clear()  # one ledger at a time: they can be large
        _PARSED[self.path] = whole, every
        return list(every)

    @contextmanager
    def _writing(self) -> Iterator[int]:
        """A descriptor to append with, alone, behind a whole last line."""
        with append_file.locked(self.path) as descriptor:
            lines, torn = chain.split(append_file.read(self.path))
            if torn:
                append_file.cut(descriptor, sum(len(text) + 1 for text in lines))
            if not lines:
                body = {"origin": f"ledger-{secrets.token_hex(8)}", "format": FORMAT}
                self._add(descriptor, OPENED, "", "", body)
            if torn:
                gone = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
                self._add(descriptor, REPAIRED, "", "", gone)
            yield descriptor

    def _add(
        self, descriptor: int, kind: str, event: str, key: str, body: Mapping[str, Any]
    ) -> Entry:
        time = self._now().astimezone(UTC).isoformat(timespec="milliseconds")
        content = {"kind": kind, "event": event, "key": key, "body": dict(body)}
        content |= {"time": time.replace("+00:00", "Z")}
        entry = chain.seal(content, self._last())
        append_file.add(descriptor, chain.line(entry))
        return entry

    def _last(self) -> Entry | None:
        """The last entry, if it is as it was written and all before it are linked."""
        content = append_file.read(self.path)
        entries = self._parsed(content)
        if not entries:
            return None
        text = content[:-1].rpartition(b"\n")[2]
        previous = entries[-2].hash if len(entries) > 1 else chain.START
        problem = chain.fault(text, len(entries) - 1, previous)
        if problem:
            raise LedgerBroken(f"{self.path}: {problem} Nothing is added to it.", len(entries) - 1)
        return entries[-1]


_PARSED: dict[Path, tuple[bytes, list[Entry]]] = {}
"""Path of the ledger read last: its whole lines as bytes, and the entries in them."""


def _find(entries: list[Entry], kind: str, event: str, key: str) -> Entry | None:
    wanted = (kind, event, key)
    return next((e for e in entries if (e.kind, e.event, e.key) == wanted), None)


def verify(path: Path, *, held: tuple[int, str] | None = None) -> Check:
    """Whether a ledger's chain holds, every hash computed anew.

    Args:
        path: The JSONL file.
        held: `sequence` and `previous` of an earlier `position()` that a second party kept.
    Returns:
        The check; `broken` is the number of the first bad entry.
    Raises:
        LedgerError: the file cannot be read.
    """
    content = append_file.must_read(Path(path))
    check = chain.check(content)
    if held is None or check.broken is not None:
        return check
    return _against(check, chain.split(content)[0], held)


def _against(check: Check, lines: list[bytes], held: tuple[int, str]) -> Check:
    """The check, with what a second party has kept of the chain."""
    count, head = held
    if check.count < count:
        problem = f"The ledger had {count} entries and has {check.count}: its tail was cut off."
        return replace(check, broken=check.count, problem=problem)
    actual = strict_json.loads(lines[count - 1])["hash"] if count else chain.START
    if actual != head:
        problem = f"Entry {count - 1} is not the one that was kept: the ledger was written anew."
        return replace(check, broken=count - 1, problem=problem)
    return check
