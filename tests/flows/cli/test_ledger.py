"""`damp ledger`: what it signs, what it shows, and what it refuses."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compliance.formats.errors import LedgerError
from compliance.ledger import Ledger
from flows.state import keyring
from flows.state.paths import Home

Damp = Callable[..., Any]


@pytest.fixture
def booked(home: Home) -> Ledger:
    """A ledger with two events, and a key that signs."""
    keyring.new(home, role="executor", days=30, demo=True)
    ledger = Ledger(home.ledger)
    for event in ("e1", "e2"):
        body = {"due": "2026-10-20T08:00:00Z", "regulation": "gdpr"}
        ledger.append_once("request_received", event, "receipt", body)
        ledger.append_once("attempt_started", event, "attempt-1", {"attempt": 1})
    return ledger


def test_a_whole_ledger_holds_and_says_what_that_does_not_show(damp: Damp, booked: Ledger) -> None:
    result = damp("ledger", "verify")
    assert result.code == 0
    assert "5 entries" in result.out
    assert "cannot see that its end was cut off" in result.out
    assert damp("ledger", "verify", "--json").json()["valid"]


def test_a_changed_entry_is_named(damp: Damp, home: Home, booked: Ledger) -> None:
    home.ledger.write_bytes(home.ledger.read_bytes().replace(b"gdpr", b"ccpa", 1))
    result = damp("ledger", "verify", "--json")
    assert (result.code, result.json()["broken"]) == (1, 1)
    assert "was changed after" in result.json()["problems"][0]


def test_entries_are_shown_in_words(damp: Damp, booked: Ledger) -> None:
    result = damp("ledger", "show", "--event", "e1")
    assert [line.split("Z  ")[1] for line in result.out.splitlines()] == [
        "Request received. ground gdpr, due 2026-10-20T08:00:00Z",
        "Attempt started. attempt 1",
    ]
    assert len(damp("ledger", "show", "--last", "2", "--json").json()) == 2
    refused = damp("ledger", "show", "--event", "nobody")
    assert (refused.code, "knows no event nobody" in refused.err) == (1, True)


def test_a_checkpoint_finds_a_cut_tail(
    damp: Damp, home: Home, booked: Ledger, tmp_path: Path
) -> None:
    held = tmp_path / "held.txt"
    assert damp("ledger", "checkpoint", "-o", held).code == 0
    assert damp("ledger", "verify", "--checkpoint", held).code == 0
    booked.append("attempt_started", "e2", {"attempt": 2})
    assert damp("ledger", "verify", "--checkpoint", held).code == 0
    lines = home.ledger.read_bytes().splitlines(keepends=True)
    home.ledger.write_bytes(b"".join(lines[:4]))
    result = damp("ledger", "verify", "--checkpoint", held, "--json")
    assert result.code == 1
    assert "tail was cut off" in result.json()["problems"][0]


def test_growth_is_shown_to_somebody_who_has_no_ledger(
    damp: Damp, home: Home, booked: Ledger, tmp_path: Path
) -> None:
    held, proof, trust = (tmp_path / name for name in ("held.txt", "growth.txt", "trust.json"))
    assert damp("ledger", "checkpoint", "-o", held).code == 0
    booked.append("attempt_started", "e2", {"attempt": 2})
    assert damp("ledger", "prove", "--since", held, "-o", proof).code == 0
    trust.write_bytes(home.trust.read_bytes())
    home.ledger.unlink()
    result = damp("ledger", "consistent", held, proof, "--trust", trust, "--json")
    assert (result.code, result.json()["consistent"], result.json()["later"]["size"]) == (
        0,
        True,
        6,
    )
    proof.write_text(proof.read_text().replace("old 5", "old 4"))
    assert damp("ledger", "consistent", held, proof, "--trust", trust).code == 1


def test_a_ledger_restored_from_an_older_copy_is_not_signed_again(
    damp: Damp, home: Home, booked: Ledger, tmp_path: Path
) -> None:
    older = home.ledger.read_bytes()
    booked.append("attempt_started", "e2", {"attempt": 2})
    assert damp("ledger", "checkpoint").code == 0
    home.ledger.write_bytes(older)
    booked.append("attempt_started", "e2", {"attempt": 3})
    result = damp("ledger", "checkpoint")
    assert result.code == 1
    assert "restored from an older copy" in result.err
    assert len(list(home.checkpoints.iterdir())) == 1


def test_a_broken_ledger_is_neither_signed_nor_proved(
    damp: Damp, home: Home, booked: Ledger
) -> None:
    content = home.ledger.read_bytes()
    home.ledger.write_bytes(content.replace(b"gdpr", b"ccpa", 1))
    assert damp("ledger", "checkpoint").code == 1
    assert not home.checkpoints.exists()


def test_what_cannot_be_proved_is_said(damp: Damp, booked: Ledger, tmp_path: Path) -> None:
    assert "either --since" in damp("ledger", "prove").err
    assert "cannot be read" in damp("ledger", "prove", "--statement", tmp_path / "gone").err
    (tmp_path / "no.txt").write_text("no note")
    assert "no signed note" in damp("ledger", "prove", "--since", tmp_path / "no.txt").err


def test_an_empty_folder_has_nothing_to_sign(damp: Damp, home: Home) -> None:
    assert damp("ledger", "checkpoint").code == 1
    assert damp("ledger", "verify").code == 1
    assert not home.root.exists()


def test_a_ledger_that_cannot_be_written_refuses_in_words(
    damp: Damp, home: Home, read_only_disk: Path, tiny_disk: Path, booked: Ledger
) -> None:
    """On a disk that is read-only, and on one that is full: what was there is there."""
    content = home.ledger.read_bytes()
    subprocess.run(["mount", "-o", "remount,rw", str(read_only_disk)], check=True)
    (read_only_disk / "ledger.jsonl").write_bytes(content)
    subprocess.run(["mount", "-o", "remount,ro", str(read_only_disk)], check=True)
    (tiny_disk / "ledger.jsonl").write_bytes(content)
    full = tiny_disk / "full"
    with contextlib.suppress(OSError), full.open("wb", buffering=0) as file:
        while file.write(b"x" * 512):
            pass
    for disk, words in ((read_only_disk, "Read-only"), (tiny_disk, "No space left")):
        ledger = Ledger(disk / "ledger.jsonl")
        with pytest.raises(LedgerError, match=words):
            ledger.append("attempt_started", "e1", {"attempt": 2, "note": "x" * 5000})
        assert ledger.path.read_bytes() == content
        assert ledger.verify().broken is None
    full.unlink()
    Ledger(tiny_disk / "ledger.jsonl").append("attempt_started", "e1", {"attempt": 2})


def test_no_entry_kind_is_without_words() -> None:
    from compliance.ledger import Entry, entry_text, states

    assert set(states.KINDS) <= set(entry_text.WORDS)
    rest = {"seq": 0, "body": {}} | dict.fromkeys(("time", "event", "key", "previous", "hash"), "")
    for kind in entry_text.WORDS:
        what, detail = entry_text.words(Entry(kind=kind, **rest))
        assert what[0].isupper()
        assert detail == ""
    assert entry_text.words(Entry(kind="new_kind", **rest)) == ("new kind", "")
