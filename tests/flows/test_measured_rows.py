"""What an edit is made from: the audited images are not among it."""

from __future__ import annotations

from dataclasses import replace

import torch

from flows import measured
from flows.dataset import DataSpec
from flows.datasets import load


def test_what_an_edit_is_made_from_holds_no_held_out_image() -> None:
    """The published mistake: an edit tuned on the split that audits it."""
    digits = load(DataSpec(name="digits"))
    other = replace(digits, test_inputs=torch.zeros_like(digits.test_inputs))
    for (one, _), (two, _) in zip(measured.batches(digits), measured.batches(other), strict=True):
        assert torch.equal(one, two)
    seen = {row.numpy().tobytes() for batch, _ in measured.batches(digits) for row in batch}
    assert seen <= {row.numpy().tobytes() for row in digits.train_inputs}
    moved = replace(digits, train_inputs=digits.train_inputs + 1.0)
    assert not torch.equal(measured.batches(moved)[0][0], measured.batches(digits)[0][0])
