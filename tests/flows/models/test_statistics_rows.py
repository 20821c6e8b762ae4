"""What an edit is made from: the audited images are not among it."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import pytest
import torch

import damp
from flows.data.dataset import DataSpec
from flows.data.loaders import load
from flows.models import architectures, statistics_cache, statistics_sharded, weights
from flows.state.files import Artifact
from flows.state.paths import Home
from flows.state.settings import settings


def test_what_an_edit_is_made_from_holds_no_held_out_image() -> None:
    """The published mistake: an edit tuned on the split that audits it."""
    digits = load(DataSpec(name="digits"))
    other = replace(digits, test_inputs=torch.zeros_like(digits.test_inputs))
    for (one, _), (two, _) in zip(
        statistics_cache.batches(digits), statistics_cache.batches(other), strict=True
    ):
        assert torch.equal(one, two)
    names = {
        row.numpy().tobytes() for batch, _ in statistics_cache.batches(digits) for row in batch
    }
    assert names <= {row.numpy().tobytes() for row in digits.train_inputs}
    moved = replace(digits, train_inputs=digits.train_inputs + 1.0)
    assert not torch.equal(
        statistics_cache.batches(moved)[0][0], statistics_cache.batches(digits)[0][0]
    )


def test_what_workers_measure_in_parts_adds_up_to_one_pass(home: Home) -> None:
    digits = load(DataSpec(name="digits"))
    torch.manual_seed(0)
    network = architectures.build("damp:cnn", 10, digits.input_shape)
    file = home.root / "before.safetensors"
    sha256 = weights.save_weights(network, file, {})
    subject = statistics_sharded.Subject(
        home=home,
        spec=DataSpec(name="digits"),
        classes=10,
        weights=Artifact(path=file.name, sha256=sha256),
        architecture="damp:cnn",
        retired=(),
    )
    parts = [
        statistics_sharded.Part(subject=subject, key="k", number=number, of=4)
        for number in range(4)
    ]
    files = [home.root / statistics_sharded.measure_part(part) for part in parts]
    assert len({file.read_bytes() for file in files}) == 4
    kept = [file.stat().st_mtime_ns for file in files]
    statistics_sharded.measure_part(parts[2])  # done again, as when a worker has died
    assert [file.stat().st_mtime_ns for file in files] == kept

    batches = statistics_cache.batches(digits)
    one = damp.measure(network, batches)
    many = reduce(damp.Measurement.plus, map(statistics_cache.read, files))
    assert torch.equal(one.counts, many.counts)
    edits = [damp.forget(network, batches, forget=[3], measured=each) for each in (one, many)]
    first, second = (edit.unretired.state_dict() for edit in edits)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-6, atol=1e-7)


def test_batches_that_other_processes_make_are_the_same(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = load(DataSpec(name="digits"))
    here = statistics_cache.batches(digits)
    assert statistics_cache.read_ahead(here) is here
    monkeypatch.setenv("DAMP_LOADER_WORKERS", "2")
    settings.cache_clear()
    elsewhere = statistics_cache.read_ahead(here)
    for _ in range(2):  # a data set is read more than once
        for (one, labels), (two, others) in zip(here, elsewhere, strict=True):
            assert torch.equal(one, two)
            assert torch.equal(labels, others)
    torch.manual_seed(0)
    network = architectures.build("damp:cnn", 10, digits.input_shape)
    one, two = (damp.measure(network, rows).to_tensors()[0] for rows in (here, elsewhere))
    assert all(torch.equal(one[name], two[name]) for name in one)
