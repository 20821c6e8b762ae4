"""The ledger: one unbroken chain, whatever happens to its file or its writers."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from compliance.formats.errors import LedgerBroken, LedgerConflict, LedgerError
from compliance.ledger import Ledger, append_file, chain, verify

ENTRIES = 8


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Eight entries: the opening and seven facts."""
    book = Ledger(tmp_path / "state" / "ledger.jsonl")
    for number in range(ENTRIES - 1):
        book.append_once("attempt_started", "e1", f"attempt-{number}", {"attempt": number})
    return book


def lines(ledger: Ledger) -> list[bytes]:
    return ledger.path.read_bytes().splitlines(keepends=True)


def test_an_empty_ledger_has_a_head_and_no_entries(tmp_path: Path) -> None:
    empty = Ledger(tmp_path / "ledger.jsonl")
    assert (empty.head(), empty.entries(), empty.repair()) == ("0" * 64, [], False)
    assert not empty.path.exists()


def test_the_first_entry_names_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    first = ledger.entries()[0]
    assert first["kind"] == "ledger_opened"
    assert ledger.position()["origin"] == first["body"]["origin"]
    other = Ledger(tmp_path / "other.jsonl")
    other.append("request_received", "e1", {})
    assert other.position()["origin"] != ledger.position()["origin"]


def test_an_entry_is_chained_and_found_again(ledger: Ledger) -> None:
    entry = ledger.append_once("plan_registered", "e1", "attempt-1", {"digest": "d"})
    assert entry["seq"] == ENTRIES
    assert entry["hash"] == ledger.head()
    assert entry["previous"] == ledger.entries()[-2]["hash"]
    assert ledger.find("plan_registered", "e1", "attempt-1") == entry
    assert ledger.find("plan_registered", "e2", "attempt-1") is None
    assert [e["seq"] for e in ledger.of("e1", "plan_registered")] == [ENTRIES]
    assert ledger.position()["sequence"] == ENTRIES + 1


def test_the_same_entry_again_has_no_second_effect(ledger: Ledger) -> None:
    before = ledger.path.read_bytes()
    for _ in range(100):
        ledger.append_once("attempt_started", "e1", "attempt-3", {"attempt": 3})
    assert ledger.path.read_bytes() == before


def test_other_content_under_the_same_key_is_refused(ledger: Ledger) -> None:
    before = ledger.path.read_bytes()
    with pytest.raises(LedgerConflict, match="Entry 4 of the ledger"):
        ledger.append_once("attempt_started", "e1", "attempt-3", {"attempt": 4})
    with pytest.raises(LedgerError, match="needs a key"):
        ledger.append_once("attempt_started", "e1", "", {})
    assert ledger.path.read_bytes() == before


def test_a_whole_ledger_verifies(ledger: Ledger) -> None:
    assert verify(ledger.path) == chain.Check(count=ENTRIES, head=ledger.head())


@pytest.mark.parametrize("index", range(ENTRIES))
def test_an_edited_entry_is_found(ledger: Ledger, index: int) -> None:
    written = lines(ledger)
    entry = ledger.entries()[index]
    for field, value in (("time", "2020-01-01T00:00:00.000Z"), ("event", "x"), ("body", {"n": 1})):
        changed = [*written]
        changed[index] = chain.line(replace(entry, **{field: value}))
        ledger.path.write_bytes(b"".join(changed))
        assert verify(ledger.path).broken == index


@pytest.mark.parametrize("index", range(ENTRIES))
def test_an_entry_sealed_anew_is_found_at_the_next(ledger: Ledger, index: int) -> None:
    entries = ledger.entries()
    content = {k: entries[index][k] for k in ("time", "kind", "event", "key")} | {"body": {"n": 1}}
    written = lines(ledger)
    written[index] = chain.line(chain.seal(content, entries[index - 1] if index else None))
    ledger.path.write_bytes(b"".join(written))
    # the last one has no next: only who kept its hash can tell
    held = (ENTRIES, entries[-1]["hash"])
    assert verify(ledger.path, held=held).broken == min(index + 1, ENTRIES - 1)


@pytest.mark.parametrize("index", range(ENTRIES))
def test_a_removed_entry_is_found(ledger: Ledger, index: int) -> None:
    held = (ENTRIES, ledger.head())
    written = lines(ledger)
    del written[index]
    ledger.path.write_bytes(b"".join(written))
    assert verify(ledger.path, held=held).broken == index
    if index < ENTRIES - 1:
        assert verify(ledger.path).broken == index


@pytest.mark.parametrize("index", range(ENTRIES - 1))
def test_swapped_entries_are_found(ledger: Ledger, index: int) -> None:
    written = lines(ledger)
    written[index], written[index + 1] = written[index + 1], written[index]
    ledger.path.write_bytes(b"".join(written))
    assert verify(ledger.path).broken == index


@pytest.mark.parametrize("index", range(ENTRIES))
def test_a_doubled_entry_is_found(ledger: Ledger, index: int) -> None:
    written = lines(ledger)
    written.insert(index, written[index])
    ledger.path.write_bytes(b"".join(written))
    assert verify(ledger.path).broken == index + 1


@pytest.mark.parametrize("kept", range(ENTRIES))
def test_a_cut_tail_is_found_by_who_kept_the_position(ledger: Ledger, kept: int) -> None:
    held = (ENTRIES, ledger.head())
    ledger.path.write_bytes(b"".join(lines(ledger)[:kept]))
    assert verify(ledger.path).broken is None  # a chain alone cannot see it
    verification = verify(ledger.path, held=held)
    assert verification.broken == kept
    assert "cut off" in verification.problem


def test_any_turned_bit_is_found(ledger: Ledger) -> None:
    content = ledger.path.read_bytes()
    held = (ENTRIES, ledger.head())
    draw = random.Random(3)
    for _ in range(400):
        changed = bytearray(content)
        changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        ledger.path.write_bytes(bytes(changed))
        assert verify(ledger.path, held=held).broken is not None


def test_entries_that_plain_json_would_write_otherwise_hold_and_are_watched(
    tmp_path: Path,
) -> None:
    """What the quick check cannot decide takes the long way: both must agree with RFC 8785."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    bodies = [
        {"text": "caf\u00e9 \U0001f512", "zero": 0.0, "one": 1.0, "small": 1e-7, "large": 1e21},
        {"del": "\x7f", "control": "\x01\n", "slash": "/", "html": "<&>"},
        {"\ue000": 1, "\U0001f512": 2},  # sorted by UTF-16 units, not by code points
        {
            "hash": "0" * 64,
            "deep": [{"hash": ",", "x": ',"hash":"'}],
            "numbers": [1.5, -3, 2**53 - 1],
        },
    ]
    for body in bodies:
        ledger.append("attempt_started", ',"hash":"', body)
    assert ledger.verify().broken is None
    content = ledger.path.read_bytes()
    for old, new in (
        ("caf\u00e9".encode(), b"cafe"),
        (b"\x7f", b"\\u007f"),
        (b'"large":1e+21', b'"large":1000000000000000000000'),
        (b"1.5", b"1.50"),
        (b'"one":1', b'"one":1.0'),
        (b"\\u0001", b"\\u0002"),
    ):
        assert old in content
        ledger.path.write_bytes(content.replace(old, new))
        assert verify(ledger.path).broken is not None, old


def test_a_ledger_changed_under_a_reader_is_read_anew(ledger: Ledger) -> None:
    assert len(ledger.entries()) == ENTRIES
    written = lines(ledger)
    ledger.path.write_bytes(b"".join(written[:3]))
    assert len(ledger.entries()) == 3
    ledger.append("attempt_started", "e9", {"attempt": 9})
    assert [e["event"] for e in ledger.entries()][-1] == "e9"
    ledger.path.write_bytes(b"".join([*written[:2], *written[3:]]))
    with pytest.raises(LedgerBroken):
        ledger.entries()


def test_a_blank_line_or_a_blank_is_found(ledger: Ledger) -> None:
    content = ledger.path.read_bytes()
    for changed in (content + b"\n", content.replace(b'"seq":1', b'"seq": 1'), b"\n" + content):
        ledger.path.write_bytes(changed)
        assert verify(ledger.path).broken is not None


def test_nothing_is_added_to_a_broken_chain(ledger: Ledger) -> None:
    content = ledger.path.read_bytes()
    at_end = content.replace(b'"attempt":6', b'"attempt":7')
    inside = b"".join([*lines(ledger)[:3], *lines(ledger)[4:]])
    for changed in (at_end, inside, content + b"x\n"):
        assert changed != content
        ledger.path.write_bytes(changed)
        with pytest.raises(LedgerBroken):
            ledger.append("attempt_started", "e1", {})
        assert ledger.path.read_bytes() == changed


@pytest.mark.parametrize("cut", [1, 2, 40, -1])
def test_a_line_cut_short_is_removed_and_logged(ledger: Ledger, cut: int) -> None:
    *whole, last = lines(ledger)
    torn = last[:cut]
    ledger.path.write_bytes(b"".join(whole) + torn)
    assert len(ledger.entries()) == ENTRIES - 1
    assert "cut short" in verify(ledger.path).problem

    assert ledger.repair()
    repaired = ledger.entries()[-1]
    assert (repaired["kind"], repaired["body"]["bytes"]) == ("tail_repaired", len(torn))
    assert ledger.verify().broken is None
    assert not ledger.repair()


def test_the_next_writer_repairs_by_itself(ledger: Ledger) -> None:
    with ledger.path.open("ab") as stream:
        stream.write(b'{"body":{"att')
    ledger.append("attempt_started", "e1", {"attempt": 9})
    assert [e["kind"] for e in ledger.entries()[-2:]] == ["tail_repaired", "attempt_started"]
    assert ledger.verify().broken is None


def test_a_torn_first_line_leaves_a_ledger_that_works(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.path.write_bytes(b'{"bod')
    ledger.append("request_received", "e1", {})
    kinds = [entry["kind"] for entry in ledger.entries()]
    assert kinds == ["ledger_opened", "tail_repaired", "request_received"]


def test_a_full_disk_leaves_the_old_ledger(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ledger.path.read_bytes()
    real, calls = os.write, []

    def full(descriptor: int, content: bytes) -> int:
        calls.append(len(content))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(content)[:10])

    monkeypatch.setattr(append_file.os, "write", full)
    with pytest.raises(LedgerError, match="Make room"):
        ledger.append("attempt_started", "e1", {})
    monkeypatch.undo()
    assert ledger.path.read_bytes() == before


def test_a_body_that_is_no_json_is_refused(ledger: Ledger) -> None:
    before = ledger.path.read_bytes()
    for value in (float("nan"), object(), 2**60):
        with pytest.raises(ValueError, match="canonical"):
            ledger.append("attempt_started", "e1", {"value": value})
    assert ledger.path.read_bytes() == before


def test_a_clock_that_jumps_changes_no_order(tmp_path: Path) -> None:
    times = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=d) for d in (0, 400, -30, 1))
    ledger = Ledger(tmp_path / "ledger.jsonl", now=lambda: next(times))
    for number in range(3):
        ledger.append("attempt_started", "e1", {"attempt": number})
    assert [e["body"].get("attempt") for e in ledger.entries()] == [None, 0, 1, 2]
    assert ledger.verify().broken is None


def test_the_ledger_is_its_owners_alone(ledger: Ledger) -> None:
    assert ledger.path.stat().st_mode & 0o777 == 0o600


def _write_many(path: Path, writer: int) -> None:
    ledger = Ledger(path)
    for number in range(25):
        ledger.append("attempt_started", f"e{writer}", {"attempt": number})
        ledger.append_once("request_received", "shared", f"key-{number}", {"number": number})


def test_four_writers_at_once_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("spawn")
    writers: list[Any] = [context.Process(target=_write_many, args=(path, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert verify(path).broken is None
    entries = Ledger(path).entries()
    assert len(entries) == 1 + 4 * 25 + 25
    for writer_number in range(4):
        own = [e["body"]["attempt"] for e in entries if e["event"] == f"e{writer_number}"]
        assert own == list(range(25))


@pytest.mark.parametrize("count", range(ENTRIES + 1))
def test_who_kept_a_position_of_before_sees_that_all_is_well(ledger: Ledger, count: int) -> None:
    entries = ledger.entries()
    head = entries[count - 1].hash if count else "0" * 64
    assert verify(ledger.path, held=(count, head)).broken is None
    other = verify(ledger.path, held=(count, "f" * 64))
    assert other.broken == count - 1
    assert "the ledger was written anew" in other.problem
