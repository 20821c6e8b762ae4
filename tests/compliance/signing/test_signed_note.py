"""Notes and their signatures: the forms that are refused, each at its limit."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from compliance.formats.errors import NoteError
from compliance.signing import SigningKey, envelope, signed_note

NAME = "example.org/log"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    folder: Path = tmp_path_factory.mktemp("keys")
    return envelope.generate(folder, demo=True)


def line(name: str = NAME, raw: bytes = b"1234" + 64 * b"s") -> str:
    return f"\u2014 {name} {base64.b64encode(raw).decode()}\n"


def note(text: str = "one\ntwo\n", *lines: str) -> str:
    return text + "\n" + "".join(lines or (line(),))


def test_a_note_is_its_text_and_its_signatures_in_order() -> None:
    parsed = signed_note.parse(note("a c\n\nb\n", line("x"), line("y", b"abcd" + b"z")))
    assert parsed.text == "a c\n\nb\n"
    assert parsed.signatures == (("x", b"1234", 64 * b"s"), ("y", b"abcd", b"z"))
    assert signed_note.parse(note().encode()) == signed_note.parse(note())


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_note_is_as_large_as_the_largest_and_no_larger(beyond: int) -> None:
    tail = note("x\n")
    text = "a" * (signed_note.LARGEST - len(tail.encode()) + beyond) + tail
    assert len(text.encode()) - signed_note.LARGEST == beyond
    if beyond:
        with pytest.raises(NoteError, match="larger than"):
            signed_note.parse(text.encode())
    else:
        assert len(signed_note.parse(text.encode()).signatures) == 1


@pytest.mark.parametrize("beyond", [0, 1])
def test_so_many_signatures_are_read(beyond: int) -> None:
    whole = note("x\n", *[line()] * (signed_note.SIGNATURES + beyond))
    if beyond:
        with pytest.raises(NoteError, match="more than"):
            signed_note.parse(whole)
    else:
        assert len(signed_note.parse(whole).signatures) == signed_note.SIGNATURES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one\n", "a blank line"),
        ("one\n\n", "a text, a blank line"),
        (note().rstrip("\n"), "a text, a blank line"),
        (note("one\ttwo\n"), "no other control character"),
        (note("x\n", line(raw=b"1234")), "no signature line"),
        (note("x\n", line(name="")), "no signature line"),
        (note("x\n", "x" + line()), "no base64"),
        (note("x\n", line()[2:]), "no signature line"),
        (note("x\n", "\u2014 name\n"), "no signature line"),
        (note("x\n", "\u2014 name !!!!\n"), "no base64"),
        (note("x\n", line(), "\n"), "."),
    ],
)
def test_what_is_no_note_is_refused(text: str, words: str) -> None:
    with pytest.raises(NoteError, match=words):
        signed_note.parse(text)


def test_bytes_that_are_no_text_are_refused_with_their_place() -> None:
    with pytest.raises(NoteError, match="no UTF-8 at byte 3"):
        signed_note.parse(b"abc\xff" + note().encode())


def test_64_kib_and_16_signatures_are_read_at_most() -> None:
    assert (signed_note.LARGEST, signed_note.SIGNATURES) == (65536, 16)


def test_five_bytes_are_a_hint_and_a_signature() -> None:
    assert signed_note.parse(note("x\n", line(raw=b"12345"))).signatures[0][2] == b"5"


def test_a_key_is_named_by_the_first_bytes_of_a_digest() -> None:
    """SHA-256 of name, newline, the algorithm's byte 1 and the raw key."""
    raw = bytes(range(32))
    expected = hashlib.sha256(NAME.encode() + b"\n\x01" + raw).digest()[:4]
    assert signed_note.key_id(NAME, raw) == expected


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\u2003b"])
def test_a_name_with_spaces_or_a_plus_sign_names_no_key(key: SigningKey, name: str) -> None:
    with pytest.raises(NoteError, match="cannot name a key"):
        signed_note.sign("x\n", name, key)
    for text in ("x", "a\x07b\n"):
        with pytest.raises(NoteError, match="ends in a newline"):
            signed_note.sign(text, NAME, key)


def test_known_keys_that_signed_under_the_name_are_its_signers(key: SigningKey) -> None:
    parsed = signed_note.parse(signed_note.sign("one\n", NAME, key))
    public = [("ours", key.public_key)]
    assert signed_note.signers(parsed, NAME, public) == ("ours",)
    assert signed_note.signers(parsed, "other", public) == ()
    assert signed_note.signers(parsed, NAME, []) == ()
    name, hint, signature = parsed.signatures[0]
    changed = signed_note.Note(text="two\n", signatures=parsed.signatures)
    with pytest.raises(NoteError, match="does not hold"):
        signed_note.signers(changed, NAME, public)
    # a signature by another key under the name says nothing either way
    strange = signed_note.Note(text="two\n", signatures=((name, b"none", signature),))
    assert signed_note.signers(strange, NAME, public) == ()
    assert hint == signed_note.key_id(NAME, signed_note.raw_public(key.public_key))
    assert len(signed_note.raw_public(key.public_key)) == 32
