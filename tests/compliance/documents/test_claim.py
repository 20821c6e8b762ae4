"""Claims: what is read, what is refused, and which event a claim is."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from compliance.documents.claim import load_claim, parse_claim
from compliance.formats.errors import ClaimError

GOOD = """\
apiVersion: damp/v1
kind: ForgettingClaim
scope: {type: class, selector: {index: 3}}
original: {file: before.safetensors, architecture: "damp:cnn"}
edited: {file: after.safetensors, architecture: "damp:cnn", retired: [3]}
data: {name: digits}
recipe: digits
policy: default-v1
"""
BYTES = {"original": "a" * 64, "edited": "b" * 64}


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def refusals(text: str) -> str:
    with pytest.raises(ClaimError) as caught:
        parse_claim(text, "claim.yaml")
    return "\n".join(caught.value.problems)


def test_a_claim_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "claim.yaml"
    file.write_text(GOOD)
    claim = load_claim(file)
    assert claim.forget == (3,)
    assert claim.edited.retired == (3,)
    assert (claim.references, claim.unseen) == (None, None)


def test_models_of_a_registry_references_and_unseen_classes_can_be_named() -> None:
    claim = parse_claim(
        changed(
            'original: {file: before.safetensors, architecture: "damp:cnn"}',
            'original: {registry: "digits/1"}',
        )
        + "references: [a.safetensors, b.safetensors, c.safetensors]\n"
        + 'unseen: {name: "letters:load"}\n'
    )
    assert claim.original.registry == "digits/1"
    assert claim.references is not None
    assert len(claim.references) == 3
    assert claim.unseen is not None
    assert claim.unseen.name == "letters:load"


def test_the_recipe_may_lack() -> None:
    assert parse_claim(changed("recipe: digits\n", "")).recipe is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{index: 3}", "{indices: [3]}"),
        ("data: {name: digits}\nrecipe: digits\n", "recipe: digits\ndata: {name: digits}\n"),
    ],
)
def test_the_same_claim_about_the_same_bytes_is_the_same_event(old: str, new: str) -> None:
    one, other = parse_claim(GOOD), parse_claim(changed(old, new))
    assert one.event_id(BYTES) == other.event_id(BYTES)
    assert uuid.UUID(one.event_id(BYTES)).version == 4


def test_other_bytes_or_other_words_are_another_event() -> None:
    claim = parse_claim(GOOD)
    event_id = claim.event_id(BYTES)
    assert claim.event_id(BYTES | {"edited": "c" * 64}) != event_id
    assert parse_claim(changed("default-v1", "own.yaml")).event_id(BYTES) != event_id


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("policy: default-v1", "polcy: default-v1", "Did you mean `policy`?"),
        ("after.safetensors", "before.safetensors", "are one and the same"),
        ("after.safetensors", "after.pt", "a pickle can run code"),
        ("{index: 3}", "{index: three}", "never by its name"),
        ("retired: [3]", "retired: [three]", "never by its name"),
        ("damp/v1", "damp/v9", "this version of damp reads damp/v1"),
        ("kind: ForgettingClaim", "kind: ErasureRequest", "kind"),
        ("data: {name: digits}", "data: {name: pictures}", "no known data set"),
        ('architecture: "damp:cnn"}', "}", "belong together"),
    ],
)
def test_mistakes_are_refused_with_place_and_remedy(old: str, new: str, words: str) -> None:
    refusal = refusals(changed(old, new))
    assert words in refusal
    assert "claim.yaml" in refusal


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ("[a.safetensors, b.safetensors]", "at least 3 different files"),
        ("[a.safetensors, a.safetensors, b.safetensors]", "at least 3 different files"),
        ("[a.pt, b.pt, c.pt]", "a pickle can run code"),
    ],
)
def test_references_that_are_no_baseline_are_refused(files: str, words: str) -> None:
    assert words in refusals(GOOD + f"references: {files}\n")
