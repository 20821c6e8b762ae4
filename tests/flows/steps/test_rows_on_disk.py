"""Audits and surgery on rows that stay on disk measure what they measure on rows in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import damp
from audits import controls, features, weight_record
from audits.tuning import Tuning
from compliance.documents.preprocessing import Preprocessing
from damp.measurement import digest
from flows.data import loaders
from flows.data.dataset import Dataset, DataSpec
from flows.data.view import View
from flows.models import statistics_cache
from flows.state.paths import Home
from flows.steps import shadows
from tests.flows import fitting

PLAIN = Preprocessing(resize=(8, 8), channels=1)


@pytest.fixture
def stored(home: Home, tmp_path: Path) -> Dataset:
    """Digits as grey pictures in folders, seen at their own size."""
    digits = loaders.load(DataSpec(name="digits"))
    for part, images, labels in (
        ("train", digits.train_inputs, digits.train_labels),
        ("test", digits.test_inputs, digits.test_labels),
    ):
        for number, (image, label) in enumerate(zip(images[:400], labels[:400], strict=True)):
            path = tmp_path / "digits" / part / f"d{int(label)}" / f"{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image[0] * 255).round().byte().numpy()).save(path)
    return loaders.load(DataSpec(name=f"imagefolder:{tmp_path / 'digits'}", preprocessing=PLAIN))


def held(dataset: Dataset) -> Dataset:
    """The same rows in memory."""
    return replace(
        dataset, train_inputs=dataset.train_inputs[:], test_inputs=dataset.test_inputs[:]
    )


def test_what_is_observed_is_the_same_to_the_bit(stored: Dataset) -> None:
    assert isinstance(stored.train_inputs, View)
    network, memory = fitting.digits(), held(stored)
    tuning = Tuning(
        labels=stored.test_labels.numpy(), forget=(3,), live=tuple(range(10)), seed=1, shots=5
    )
    one, other = (
        features.observe(
            network,
            dataset.train_inputs,
            dataset.test_inputs,
            digest="x",
            tuning=tuning,
            unseen=dataset.test_inputs,
        )
        for dataset in (stored, memory)
    )
    np.testing.assert_array_equal(one.train_logits, other.train_logits)
    np.testing.assert_array_equal(one.test_logits, other.test_logits)
    for name in one.features:
        np.testing.assert_array_equal(one.features[name], other.features[name])
    for name in one.relearned:
        np.testing.assert_array_equal(one.relearned[name], other.relearned[name])


def test_what_a_file_holds_is_read_the_same(stored: Dataset) -> None:
    network, memory = fitting.digits(), held(stored)
    one, other = (
        weight_record.record(network, dataset.test_inputs, shown=[3, 5, 8])
        for dataset in (stored, memory)
    )
    for name in one.effects:
        np.testing.assert_array_equal(one.effects[name], other.effects[name])
    for name in one.triggered:
        np.testing.assert_array_equal(one.triggered[name], other.triggered[name])


def test_the_controls_are_the_same(stored: Dataset) -> None:
    network, memory = fitting.digits(), held(stored)
    one, other = (
        controls.possible(
            network,
            network,
            forget=(3,),
            inputs=dataset.train_inputs,
            labels=dataset.train_labels,
            seed=0,
        )[0]
        for dataset in (stored, memory)
    )
    assert {n: digest(m) for n, m in one.items()} == {n: digest(m) for n, m in other.items()}


def test_the_cut_is_the_same(stored: Dataset) -> None:
    network, memory = fitting.digits(), held(stored)
    one, other = (
        damp.forget(network, statistics_cache.batches(dataset), forget=3).unretired
        for dataset in (stored, memory)
    )
    assert digest(one) == digest(other)


def test_a_shadows_half_is_the_same(stored: Dataset) -> None:
    one, other = shadows.half(stored, 5001), shadows.half(held(stored), 5001)
    assert isinstance(one[0], View)
    assert isinstance(other[0], torch.Tensor)
    assert torch.equal(one[0][:], other[0])
    assert torch.equal(one[1], other[1])


def test_large_images_go_in_small_batches_and_give_the_same_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within rounding: sums of parts are added in another order."""
    from audits import images

    digits, network = loaders.load(DataSpec(name="digits")), fitting.digits()
    whole = weight_record.record(network, digits.test_inputs[:64], shown=list(range(20)))
    monkeypatch.setattr(images, "VALUES", 64 * 9)  # nine rows at once
    parts = weight_record.record(network, digits.test_inputs[:64], shown=list(range(20)))
    for name in whole.effects:
        np.testing.assert_allclose(parts.effects[name], whole.effects[name], rtol=1e-3, atol=1e-6)
    for name in whole.triggered:
        np.testing.assert_allclose(parts.triggered[name], whole.triggered[name], atol=1e-4)
