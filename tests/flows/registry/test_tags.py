"""Tags are read strictly: what damp wrote comes back, anything else is named by its key."""

from __future__ import annotations

import dataclasses

import pytest

from compliance.documents.preprocessing import Preprocessing
from flows.registry.tags import PREFIX, TAGS, TagError, VersionTags

WHOLE = VersionTags(
    kind="successor",
    event="5f0c7c2e",
    attempt=2,
    parent_version=1,
    verdict="PASSED",
    data_before="a" * 32 + ".dir",
    data_version="b" * 32 + ".dir",
    weights_sha256="c" * 64,
    statement_sha256="d" * 64,
    architecture="damp:cnn",
    classes=10,
    input_shape=(1, 8, 8),
    retired=(3, 8),
    preprocessing=Preprocessing(resize=9, crop=8, channels=1, mean=(0.5,), std=(0.25,)),
    purged=True,
)


def test_each_field_has_a_key_of_its_own() -> None:
    fields = [field.name for field in dataclasses.fields(VersionTags)]
    assert fields == list(TAGS)
    keys = [tag.key for tag in TAGS.values()]
    assert len(set(keys)) == len(keys)
    assert all(key.startswith(PREFIX) for key in keys)


def test_what_is_written_is_read_back() -> None:
    raw = WHOLE.to_tags()
    assert len(raw) == len(TAGS)
    assert VersionTags.parse(raw) == WHOLE
    assert VersionTags.parse({**raw, "mlflow.user": "somebody"}) == WHOLE
    assert VersionTags.parse({}) == VersionTags()
    assert VersionTags().to_tags() == {}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("damp.attempt", "\N{SUPERSCRIPT TWO}"),
        ("damp.attempt", "\N{ARABIC-INDIC DIGIT TWO}"),
        ("damp.attempt", "-1"),
        ("damp.attempt", "01"),
        ("damp.parent_version", ""),
        ("damp.parent_version", "9" * 5000),
        ("damp.classes", "1e1"),
        ("damp.input_shape", "[1, 8.0]"),
        ("damp.input_shape", "8"),
        ("damp.retired", "[true]"),
        ("damp.retired", "[" * 3000),
        ("damp.retired", '{"3": 3}'),
        ("damp.purged", "yes"),
    ],
)
def test_what_damp_never_wrote_is_refused_by_its_key(key: str, text: str) -> None:
    with pytest.raises(TagError, match=key.replace(".", r"\.")):
        VersionTags.parse({key: text})


def test_a_missing_part_of_the_specification_is_named() -> None:
    assert WHOLE.spec().retired == (3, 8)
    partial = dataclasses.replace(WHOLE, classes=None, retired=None)
    with pytest.raises(TagError, match=r"damp\.classes, damp\.retired missing"):
        partial.spec()
