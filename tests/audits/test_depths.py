"""Which features of a model are read, and what they are called."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audits import depths


def test_features_are_read_in_double_precision_and_logits_without_the_class(world):
    evidence = world.evidence()
    model = evidence.original
    single = replace(model, features={"body": model.features["body"].astype(np.float32)})
    read = depths.at(evidence, single, "body")
    assert read.dtype == np.float64
    assert np.array_equal(read, single.features["body"].astype(np.float64))
    kept = model.test_logits[:, [0, 1, 3, 4, 5]]
    centred = kept - kept.mean(1, keepdims=True)
    assert depths.at(evidence, model, "logits") == pytest.approx(centred)


def test_the_depths_are_those_of_the_original_and_all_references(world):
    evidence = world.evidence()
    assert depths.available(evidence) == ["body", "penultimate", "logits"]
    lacking = replace(
        evidence.references[3],
        digest="one depth",
        features={"penultimate": evidence.references[3].features["penultimate"]},
    )
    others = (*evidence.references[:3], lacking)
    assert depths.available(replace(evidence, references=others)) == ["penultimate", "logits"]
    # what the candidate has is not asked
    assert depths.available(replace(evidence, candidate=lacking)) == [
        "body",
        "penultimate",
        "logits",
    ]
    assert depths.has(lacking, "penultimate")
    assert depths.has(lacking, "logits")
    assert not depths.has(lacking, "body")


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        ("logits", "the outputs of the classes that stay"),
        ("penultimate", "the last features before the head"),
        ("layer3.conv", "the features that enter layer3.conv"),
    ],
)
def test_a_depth_in_words(depth, words):
    assert depths.words(depth) == words


def test_one_architecture_is_the_same_depths_of_the_same_widths(world):
    one, other = world.model("original", knows=True), world.model("retrained", knows=False)
    assert depths.alike(one, other)
    body, last = one.features["body"], one.features["penultimate"]
    for features in (
        {"body": body[:, :5], "penultimate": last},
        {"penultimate": last},
        {"penultimate": last, "body": body},
    ):
        assert not depths.alike(replace(one, features=features), other)
    # as many columns, of other rows: still one architecture
    fewer = {"body": body[:9], "penultimate": last[:9]}
    assert depths.alike(replace(one, features=fewer), other)
