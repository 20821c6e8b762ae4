"""The streaming pass, against numpy over all pooled inputs at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from damp.errors import BadBatches, NonFinite, Unsupported
from damp.operators import find
from damp.statistics import STRIP, add_gram, mirrored
from damp.survey import survey


def pooled_inputs(model, inputs):
    """Inputs of each numbered layer of a `Sequential`, averaged over positions, in numpy."""
    found = {}
    with torch.no_grad():
        for name, layer in model.named_children():
            values = inputs.numpy()
            if isinstance(layer, nn.Conv2d):
                found[name] = values.reshape(*values.shape[:2], -1).mean(-1)
            elif isinstance(layer, nn.Linear):
                found[name] = values
            inputs = layer(inputs)
    return found


@settings(max_examples=10, deadline=None, derandomize=True)
@given(size=st.integers(1, 170), seed=st.integers(0, 99))
def test_prototypes_and_covariances_are_those_of_all_samples(clouds, cnn, split, size, seed):
    model = cnn(seed).double()
    inputs, labels = clouds(seed, 4, (2, 6, 6))
    seen = survey(model, find(model)[0], split(inputs, labels, size), (1,))
    expected = pooled_inputs(model, inputs)
    assert list(seen.statistics) == list(expected) == ["0", "3", "7"]
    for name, rows in expected.items():
        kept, cut = rows[labels.numpy() != 1], rows[labels.numpy() == 1]
        found = seen.statistics[name]
        close = {"atol": 1e-9, "rtol": 1e-9}
        np.testing.assert_allclose(found.prototypes([1])[0], cut.mean(0), **close)
        np.testing.assert_allclose(found.mean([0, 2, 3]), kept.mean(0), **close)
        np.testing.assert_allclose(
            found.retain_covariance(), np.cov(kept, rowvar=False, bias=True), **close
        )
        np.testing.assert_allclose(
            found.forget_covariance(), np.cov(cut, rowvar=False, bias=True), **close
        )


@pytest.mark.parametrize("features", [3, STRIP, 2 * STRIP + 7])
def test_a_gram_matrix_in_strips_is_the_whole_one(features):
    rows = torch.randn(5, features, generator=torch.Generator().manual_seed(0))
    gram = torch.zeros(features, features)
    add_gram(gram, rows)
    add_gram(gram, rows)
    torch.testing.assert_close(mirrored(gram), 2 * rows.T @ rows)


def test_tokens_are_averaged(clouds, split):
    inputs, labels = clouds(0, 3, (7, 5))
    model = nn.Sequential(nn.Linear(5, 4).double(), nn.Flatten(), nn.Linear(28, 3).double())
    seen = survey(model, find(model)[0], split(inputs, labels), (0,))
    expected = inputs[labels == 2].mean((0, 1))
    torch.testing.assert_close(seen.statistics["0"].prototypes([2])[0], expected)


def test_a_layer_used_twice_counts_both_uses(clouds, split):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.last = nn.Linear(6, 6).double(), nn.Linear(6, 4).double()

        def forward(self, inputs):
            return self.last(self.mix(self.mix(inputs)))

    model = Twice()
    inputs, labels = clouds(0)
    found = survey(model, find(model)[0], split(inputs, labels), (0,)).statistics["mix"]
    both = torch.cat([inputs, model.mix(inputs).detach()])
    expected = both[torch.cat([labels, labels]) == 3].mean(0)
    torch.testing.assert_close(found.prototypes([3])[0], expected)
    assert found.counts.tolist() == [80.0] * 4


def test_inputs_are_noted_before_the_model_overwrites_them(clouds, split):
    class Overwriting(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.last = nn.Linear(6, 6).double(), nn.Linear(6, 4).double()

        def forward(self, inputs):
            rows = inputs.clone()
            rows += self.mix(rows)
            return self.last(rows)

    model = Overwriting()
    inputs, labels = clouds(0)
    found = survey(model, find(model)[0], split(inputs, labels), (0,)).statistics["mix"]
    torch.testing.assert_close(found.prototypes([2])[0], inputs[labels == 2].mean(0))


def test_an_input_given_by_keyword_is_seen(clouds, split):
    class ByKeyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(6, 4).double()

        def forward(self, inputs):
            return self.last(input=inputs)

    model = ByKeyword()
    assert list(survey(model, find(model)[0], split(*clouds()), (0,)).statistics) == ["last"]


def test_operators_come_in_the_order_of_their_calls(clouds, split):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(5, 4).double(), nn.Linear(6, 5).double()

        def forward(self, inputs):
            return self.last(self.first(inputs))

    model = Backwards()
    seen = survey(model, find(model)[0], split(*clouds()), (0,))
    assert list(seen.statistics) == ["first", "last"]


class Odd(nn.Module):
    """Calls one layer never, one on a folded batch, one on a single vector."""

    def __init__(self):
        super().__init__()
        self.never, self.folded, self.single, self.last = (nn.Linear(6, 6) for _ in range(4))

    def forward(self, inputs):
        folded = self.folded(inputs.repeat(2, 1))[: len(inputs)]
        return self.last(folded + self.single(inputs[0]))


def test_operators_without_usable_inputs_are_named_with_the_reason(clouds, split):
    model = Odd()
    inputs, labels = clouds()
    seen = survey(model, find(model)[0], split(inputs.float(), labels, 32), (0,))
    reasons = {skipped.name: skipped.reason for skipped in seen.skipped}
    assert list(seen.statistics) == ["last"]
    assert "never called" in reasons["never"]
    assert "64 rows for 32 samples" in reasons["folded"]
    assert "1 axes" in reasons["single"]


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (torch.ones(4, 6), "no pair"),
        ([torch.ones(4, 6)], "no pair"),
        ((torch.ones(4, 6), [0, 1, 2, 3]), "no pair"),
        ((torch.ones(4, 6, dtype=torch.uint8), torch.zeros(4, dtype=int)), "convert them"),
        ((torch.ones(4, 6), torch.zeros(4)), "class numbers"),
        ((torch.ones(4, 6), torch.zeros(4, dtype=torch.bool)), "class numbers"),
        ((torch.ones(4, 6), torch.zeros(3, dtype=int)), "one label per sample"),
        ((torch.ones(4, 6), torch.zeros(4, 1, dtype=int)), "one label per sample"),
    ],
)
def test_batches_that_cannot_be_read_are_refused(batch, says):
    model = nn.Linear(6, 4)
    with pytest.raises(BadBatches, match=says):
        survey(model, find(model)[0], [batch], (0,))


def test_no_batch_is_refused():
    model = nn.Linear(6, 4)
    with pytest.raises(BadBatches, match="no batch"):
        survey(model, find(model)[0], [], (0,))


@pytest.mark.parametrize("wrap", [lambda x: x.sum(), lambda x: {"logits": x}, lambda x: x[1:]])
def test_a_model_without_logits_is_refused(clouds, split, wrap):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(6, 4)

        def forward(self, inputs):
            return wrap(self.last(inputs))

    model = Wrapped()
    with pytest.raises(Unsupported, match="logits of shape"):
        survey(model, find(model)[0], split(*clouds()), (0,))


def test_labels_beyond_the_head_and_broken_numbers_are_problems(clouds, split):
    model = nn.Linear(6, 3).double()
    inputs, labels = clouds()
    inputs[0, 0] = torch.nan
    seen = survey(model, find(model)[0], split(inputs, labels, 2), (0,))
    assert [type(problem) for problem in seen.problems] == [BadBatches, NonFinite]
    assert "Labels 3 are outside the model's 3 outputs" in str(seen.problems[0])


def test_the_pass_leaves_no_hook_and_no_changed_mode(clouds, split, cnn):
    model = cnn().double().train()
    model[1].eval()
    survey(model, find(model)[0], split(*clouds(0, 4, (2, 6, 6))), (1,))
    assert not any(layer._forward_pre_hooks for layer in model.modules())
    assert model.training
    assert not model[1].training
