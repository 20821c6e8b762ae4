"""Checkpoints and proofs of the ledger: what a second party can see with a few lines of text."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.robustness import ledgers
from compliance.formats.errors import NoteError
from compliance.ledger import Ledger, chain, checkpoint, merkle, proofs
from compliance.signing import SigningKey, Trust, envelope, signed_note

ENTRIES = 50


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Fifty entries: the opening and forty-nine facts."""
    book = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    for number in range(ENTRIES - 1):
        book.append("attempt_started", "e1", {"attempt": number})
    return book


def signed(ledger: Ledger, key: SigningKey, size: int = ENTRIES) -> str:
    origin = ledger.position()["origin"]
    return checkpoint.sign(checkpoint.of(origin, ledger.lines()[:size]), key)


# Notes


def test_a_note_is_written_as_the_format_says(key: SigningKey) -> None:
    envelope_bytes = signed_note.sign("one\ntwo\n", "example.org/log", key)
    text, blank, line = envelope_bytes.rpartition("\n\n")
    assert (text, blank) == ("one\ntwo", "\n\n")
    dash, name, rest = line.removesuffix("\n").split(" ")
    assert (dash, name) == ("\u2014", "example.org/log")
    raw = base64.b64decode(rest)
    assert len(raw) == 4 + 64


def test_the_published_example_is_read_and_its_signature_holds() -> None:
    """The note of c2sp.org/signed-note, signed by a key that golang.org/x/mod/sumdb/note shows."""
    name, key_hash, raw = (
        "PeterNeumann",
        "c74f20a3",
        ("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"),
    )
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n\n"
        "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfq"
        "dngotpRZb6KE6RyyBwJnAM=\n"
    )
    public = base64.b64decode(raw)[1:]  # after the byte that says Ed25519
    assert signed_note.key_id(name, public).hex() == key_hash
    note = signed_note.parse(text)
    ((who, hint, signature),) = note.signatures
    assert (who, hint.hex()) == (name, key_hash)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Ed25519PublicKey.from_public_bytes(public).verify(signature, note.text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "one\n",
        "one\n\n",
        "one\n\n\u2014 name",
        "one\n\nname abcd\n",
        "one\n\n\u2014 name !!!!\n",
        "one\n\n\u2014 name AAAA\n",
        "one\n\n\u2014  AAAAAAAAAA==\n",
        "on\x07e\n\n\u2014 name AAAAAAAAAA==\n",
        "one\n\n" + "\u2014 name AAAAAAAAAA==\n" * 17,
        "x" * (signed_note.LARGEST + 1),
        b"\xff\n\n\xe2\x80\x94 name AAAAAAAAAA==\n",
    ],
)
def test_what_is_no_note_is_refused(text: str | bytes) -> None:
    with pytest.raises(NoteError):
        signed_note.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_a_name_that_cannot_be_one_is_refused(key: SigningKey, name: str) -> None:
    with pytest.raises(NoteError, match="cannot name"):
        signed_note.sign("text\n", name, key)


# Checkpoints


def test_a_checkpoint_is_signed_and_opened_again(
    ledger: Ledger, key: SigningKey, trust: Trust
) -> None:
    note = signed(ledger, key)
    held = checkpoint.opened(note, trust)
    assert (held.size, held.signed_by) == (ENTRIES, (key.keyid,))
    assert held.root == merkle.root(map(merkle.leaf_hash, ledger.lines()))
    assert note.splitlines()[:2] == [ledger.position()["origin"], str(ENTRIES)]


def test_every_turned_bit_is_refused(ledger: Ledger, key: SigningKey, trust: Trust) -> None:
    note = signed(ledger, key).encode()
    before = checkpoint.opened(note, trust)
    for place in range(len(note)):
        for bit in range(8):
            changed = bytearray(note)
            changed[place] ^= 1 << bit
            try:
                after = checkpoint.opened(bytes(changed), trust)
            except NoteError:
                continue
            assert after == before  # base64's spare bits: the same text, the same signature


def test_a_stranger_s_signature_does_not_count(
    ledger: Ledger, key: SigningKey, trust: Trust, tmp_path: Path
) -> None:
    stranger = envelope.generate(tmp_path / "keys", demo=True)
    with pytest.raises(NoteError, match="No trusted key"):
        checkpoint.opened(signed(ledger, stranger), trust)
    with pytest.raises(NoteError, match="No trusted key"):
        checkpoint.opened(signed(ledger, key), Trust(keys={}))
    with pytest.raises(NoteError, match="No trusted key"):
        checkpoint.opened(signed(ledger, key), trust, roles=["reviewer"])


def test_a_stranger_s_line_beside_a_good_one_is_ignored_as_the_format_asks(
    ledger: Ledger, key: SigningKey, trust: Trust, tmp_path: Path
) -> None:
    stranger = envelope.generate(tmp_path / "keys", demo=True)
    both = signed(ledger, key) + signed(ledger, stranger).rpartition("\n\n")[2]
    assert checkpoint.opened(both, trust).signed_by == (key.keyid,)


def test_a_known_key_s_signature_over_another_text_spoils_the_note(
    ledger: Ledger, key: SigningKey, trust: Trust
) -> None:
    other = signed(ledger, key, 7).rpartition("\n\n")[2]
    text = signed(ledger, key).rpartition("\n\n")[0]
    with pytest.raises(NoteError, match="does not hold"):
        checkpoint.opened(f"{text}\n\n{other}", trust)


def test_a_signature_under_another_name_does_not_count(
    ledger: Ledger, key: SigningKey, trust: Trust
) -> None:
    origin = ledger.position()["origin"]
    text = checkpoint.of(origin, ledger.lines()).text()
    with pytest.raises(NoteError, match="No trusted key"):
        checkpoint.opened(signed_note.sign(text, "another-log", key), trust)


@pytest.mark.parametrize(
    "text",
    ["a\n1\n", "a\n01\nAAAA\n", "a\n-1\nAAAA\n", "a\n1\nAAAA\n", "a\n\n1\nAAAA\n", "a\n1\n!\n"],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        checkpoint.parse(text)


# What a checkpoint shows of a ledger at hand


def test_every_edit_removal_reordering_and_cut_of_fifty_entries_is_found(
    ledger: Ledger, key: SigningKey, trust: Trust
) -> None:
    held = checkpoint.opened(signed(ledger, key), trust)
    assert ledgers.examine(held, ledger.path.read_bytes()) == []
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    attacks = list(ledgers.attacks(lines))
    assert len(attacks) == 6 * ENTRIES - 2
    for kind, index, content in attacks:
        assert ledgers.examine(held, content), (kind, index)


def test_a_ledger_sealed_anew_from_some_entry_on_is_found_by_its_root(
    ledger: Ledger, key: SigningKey, trust: Trust
) -> None:
    """The chain holds again there: only who kept the checkpoint sees it."""
    held = checkpoint.opened(signed(ledger, key), trust)
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    for index in range(1, ENTRIES):
        forged = ledgers.sealed_anew(lines, index)
        assert chain.check(forged).broken is None
        assert "written anew" in ledgers.examine(held, forged)[0]


def test_a_ledger_that_grew_since_is_accepted(
    ledger: Ledger, key: SigningKey, trust: Trust
) -> None:
    for size in (1, 7, 32, ENTRIES):
        held = checkpoint.opened(signed(ledger, key, size), trust)
        assert ledgers.examine(held, ledger.path.read_bytes()) == []


# What two checkpoints show without the ledger


def test_growth_is_shown_between_any_two_checkpoints(
    ledger: Ledger, key: SigningKey, trust: Trust
) -> None:
    for old, new in ((1, 2), (1, ENTRIES), (7, 32), (32, 33), (49, ENTRIES), (5, 5)):
        held = checkpoint.opened(signed(ledger, key, old), trust)
        proof = proofs.between(ledger.lines()[:new], old, signed(ledger, key, new))
        assert proofs.check_between(held, proof, trust).size == new


def test_two_ledgers_with_one_name_are_found_out(
    ledger: Ledger, key: SigningKey, trust: Trust, tmp_path: Path
) -> None:
    """A state folder that was copied and went on in both places."""
    copy = Ledger(tmp_path / "ledger.jsonl")
    copy.path.write_bytes(b"".join(ledger.path.read_bytes().splitlines(keepends=True)[:40]))
    for number in range(20):
        copy.append("attempt_started", "e2", {"attempt": number})
    held = checkpoint.opened(signed(ledger, key), trust)
    forged = proofs.between(copy.lines(), ENTRIES, signed(copy, key, 60))
    with pytest.raises(NoteError, match="two ledgers carry one name"):
        proofs.check_between(held, forged, trust)
    shared = checkpoint.opened(signed(ledger, key, 40), trust)
    honest = proofs.between(copy.lines(), 40, signed(copy, key, 60))
    assert proofs.check_between(shared, honest, trust).size == 60


def test_a_proof_of_another_pair_is_refused(ledger: Ledger, key: SigningKey, trust: Trust) -> None:
    held = checkpoint.opened(signed(ledger, key, 7), trust)
    other = proofs.between(ledger.lines(), 8, signed(ledger, key))
    with pytest.raises(NoteError, match="no proof from 7"):
        proofs.check_between(held, other, trust)
    relabelled = other.replace("old 8", "old 7")
    with pytest.raises(NoteError, match="does not continue"):
        proofs.check_between(held, relabelled, trust)


def test_an_entry_is_shown_without_the_others(
    ledger: Ledger, key: SigningKey, trust: Trust
) -> None:
    for index in (0, 1, 31, 32, ENTRIES - 1):
        proof = proofs.inclusion(ledger.lines(), index, signed(ledger, key))
        shown = proofs.check_inclusion(proof, trust)
        assert shown.entry == ledger.entries()[index]
        assert (shown.index, shown.checkpoint.size) == (index, ENTRIES)
        assert proof.count("\n") < 20


def test_another_entry_under_the_same_proof_is_refused(
    ledger: Ledger, key: SigningKey, trust: Trust
) -> None:
    proof = proofs.inclusion(ledger.lines(), 9, signed(ledger, key))
    forged = chain.line(replace(ledger.entries()[9], event="x")).rstrip(b"\n")
    line = proof.split("\n")[1]
    with pytest.raises(NoteError, match="not shown"):
        proofs.check_inclusion(
            proof.replace(line, f"extra {base64.b64encode(forged).decode()}"), trust
        )
    with pytest.raises(NoteError, match="not shown"):
        proofs.check_inclusion(proof.replace("index 9", "index 10"), trust)


@pytest.mark.parametrize("seed", range(4))
def test_mangled_proofs_are_refused_in_words(
    ledger: Ledger, key: SigningKey, trust: Trust, seed: int
) -> None:
    draw = random.Random(seed)
    rows: list[tuple[str, Callable[[str | bytes], Any]]] = [
        (
            proofs.between(ledger.lines(), 7, signed(ledger, key)),
            lambda text: proofs.check_between(
                checkpoint.opened(signed(ledger, key, 7), trust), text, trust
            ),
        ),
        (
            proofs.inclusion(ledger.lines(), 7, signed(ledger, key)),
            lambda text: proofs.check_inclusion(text, trust),
        ),
    ]
    for proof, check in rows:
        whole = check(proof)
        for _ in range(100):
            content = bytearray(proof.encode())
            for _ in range(draw.randint(1, 4)):
                place = draw.randrange(len(content))
                content[place : place + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 3))
            try:
                checked = check(bytes(content))
            except NoteError:
                continue
            assert checked == whole


@pytest.mark.parametrize("beyond", [0, 1, 999])
def test_a_note_that_is_too_large_is_refused_for_that(
    tmp_path: Path, key: SigningKey, ledger: Ledger, beyond: int
) -> None:
    note = signed(ledger, key).encode()
    file = tmp_path / "note"
    file.write_bytes(b"x" * (signed_note.LARGEST + beyond - len(note)) + note)
    with pytest.raises(NoteError) as refused:
        checkpoint.load(file, Trust(keys={}))
    assert ("larger than 65536 bytes" in str(refused.value)) is (beyond > 0)


@pytest.mark.parametrize(("count", "words"), [(63, "does not continue"), (64, "more than 63")])
def test_more_hashes_than_the_largest_ledger_needs_are_refused(
    ledger: Ledger, key: SigningKey, trust: Trust, count: int, words: str
) -> None:
    held = checkpoint.opened(signed(ledger, key, 7), trust)
    one = base64.b64encode(bytes(32)).decode()
    proof = "\n".join(["old 7", *[one] * count]) + "\n\n" + signed(ledger, key)
    with pytest.raises(NoteError, match=words):
        proofs.check_between(held, proof, trust)


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_proof_that_is_too_large_is_refused_for_that(trust: Trust, beyond: int) -> None:
    proof = b"x" * (4 * 1024 * 1024 + beyond)
    with pytest.raises(NoteError) as refused:
        proofs.check_inclusion(proof, trust)
    assert ("larger than 4194304 bytes" in str(refused.value)) is (beyond > 0)
