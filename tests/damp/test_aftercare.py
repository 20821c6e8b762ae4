"""Batch norms re-estimated, outputs retired."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from damp.aftercare import FEWEST, RetiredOutputs, batch_norms, recalibrate
from damp.errors import NoSamples, UnknownClass


@pytest.fixture
def data(clouds):
    inputs, labels = clouds(0, 4, (2, 6, 6))
    return inputs.float(), labels


def norms(model):
    return [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]


def by_torch(model, batches):
    """What torch itself estimates: momentum None, training mode, one pass."""
    reference = copy.deepcopy(model)
    for layer in norms(reference):
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    with torch.no_grad():
        for inputs in batches:
            reference(inputs)
    return reference


def assert_same_statistics(actual, expected):
    for ours, theirs in zip(norms(actual), norms(expected), strict=True):
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_recalibration_is_torchs_own_pass_over_retain_samples(cnn, data, split):
    inputs, labels = data
    model = cnn()
    expected = by_torch(model, inputs[labels != 1].split(60))
    assert recalibrate(model, split(inputs, labels, 80), [1]) == ("1", "4")
    assert_same_statistics(model, expected)


def test_forget_samples_leave_no_trace_in_the_statistics(cnn, data, split):
    inputs, labels = data
    first, second = cnn(), cnn()
    recalibrate(first, split(inputs, labels), [1])
    spoilt = inputs.clone()
    spoilt[labels == 1] = 1e6
    recalibrate(second, split(spoilt, labels), [1])
    assert_same_statistics(first, second)


def test_batches_count_by_their_rows(data):
    inputs, labels = data
    model = nn.Sequential(nn.BatchNorm2d(2))
    sizes = (50, 35, 75)
    parts = inputs.split(sizes)
    recalibrate(model, list(zip(parts, labels.split(sizes), strict=True)), [])
    means, variances = (
        torch.stack([moment(part.movedim(1, 0).flatten(1)) for part in parts])
        for moment in (lambda x: x.mean(1), lambda x: x.var(1))
    )
    shares = torch.tensor(sizes)[:, None] / sum(sizes)
    torch.testing.assert_close(model[0].running_mean, (shares * means).sum(0))
    torch.testing.assert_close(model[0].running_var, (shares * variances).sum(0))


def test_small_batches_are_joined(cnn, data, split):
    inputs, labels = data
    kept = inputs[labels != 1]
    sizes = [FEWEST, FEWEST, len(kept) - 2 * FEWEST]
    whole = [(part, torch.zeros(len(part), dtype=int)) for part in kept.split(sizes)]
    model, expected = cnn(), cnn()
    recalibrate(model, split(inputs, labels, 1), [1])
    recalibrate(expected, whole, [1])
    assert_same_statistics(model, expected)


def test_nothing_but_the_running_statistics_changes(cnn, data, split):
    model = cnn().train()
    model[1].eval()
    model[1].momentum = None
    before = copy.deepcopy(model)
    recalibrate(model, split(*data), [1])
    for (name, ours), theirs in zip(
        model.state_dict().items(), before.state_dict().values(), strict=True
    ):
        statistic = "running" in name or "tracked" in name
        assert statistic or torch.equal(ours, theirs)
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert [m.momentum for m in norms(model)] == [None, 0.1]
    assert not any(layer._forward_pre_hooks for layer in model.modules())


def test_dropout_stays_off(data, split):
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(2))
    inputs, labels = data
    recalibrate(model, split(inputs, labels, len(inputs)), [])
    torch.testing.assert_close(model[1].running_mean, inputs.mean((0, 2, 3)))


def test_a_norm_that_is_never_called_keeps_its_statistics(data, split):
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
            self.spare.running_mean += 7

        def forward(self, inputs):
            return self.used(inputs)

    model = Spare()
    assert recalibrate(model, split(*data), [1]) == ("used",)
    assert model.spare.running_mean.tolist() == [7.0, 7.0]


def test_a_model_without_batch_norms_is_left_alone():
    assert recalibrate(nn.Linear(2, 2), [], [1]) == ()


@pytest.mark.parametrize("forget", [[0, 1, 2, 3], [5]])
def test_too_few_samples_are_refused(cnn, data, forget):
    inputs, labels = data
    rows = slice(0, 1) if forget == [5] else slice(None)
    with pytest.raises(NoSamples, match="at least two samples"):
        recalibrate(cnn(), [(inputs[rows], labels[rows])], forget)


def test_norms_that_cannot_be_re_estimated_are_named():
    model = nn.Sequential(
        nn.BatchNorm2d(2),
        nn.BatchNorm2d(2, track_running_stats=False),
        nn.InstanceNorm2d(2, track_running_stats=True),
        nn.InstanceNorm2d(2),
        nn.LayerNorm(2),
    )
    layers, skipped = batch_norms(model)
    assert list(layers) == ["0"]
    reasons = {layer.name: layer.reason for layer in skipped}
    assert list(reasons) == ["1", "2"]
    assert "no running statistics" in reasons["1"]
    assert "not those of a batch norm" in reasons["2"]


def test_retired_outputs_are_never_chosen():
    logits = torch.tensor([[5.0, 1.0, 4.0], [0.0, 9.0, 1.0]])
    retired = RetiredOutputs(nn.Identity(), [0, 1])(logits)
    assert retired.argmax(1).tolist() == [2, 2]
    torch.testing.assert_close(retired.softmax(1), torch.tensor([[0.0, 0, 1], [0, 0, 1]]))
    assert torch.equal(retired[:, 2], logits[:, 2])


def test_retiring_adds_nothing_to_the_weights():
    model = nn.Linear(3, 2)
    wrapped = RetiredOutputs(model, (1, 1))
    assert set(wrapped.state_dict()) == {"model.weight", "model.bias"}
    assert wrapped.classes == (1,)


def test_a_class_below_zero_cannot_be_retired():
    with pytest.raises(UnknownClass, match="count from 0"):
        RetiredOutputs(nn.Identity(), [-1])
