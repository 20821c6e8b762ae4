"""The pass over the data, against numpy over all pooled inputs at once."""

from __future__ import annotations

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from damp.accumulator import BLOCK
from damp.collection import accumulation_device, collect
from damp.errors import BadBatches, NonFinite, Unsupported
from damp.grouping import for_any_request, for_request
from damp.operators import find


def collected(model, batches, forget=(), ignore=()):
    grouping = for_request(forget) if forget else for_any_request()
    return collect(model, find(model)[0], batches, grouping, ignore=ignore)


def statistics(model, batches, **options):
    return collected(model, batches, **options).measurement.statistics


def pooled_inputs(model, inputs):
    """Inputs of each numbered layer of a `Sequential`, averaged over positions, in numpy."""
    measured = {}
    with torch.no_grad():
        for name, layer in model.named_children():
            values = inputs.numpy()
            if isinstance(layer, nn.Conv2d):
                measured[name] = values.reshape(*values.shape[:2], -1).mean(-1)
            elif isinstance(layer, nn.Linear):
                measured[name] = values
            inputs = layer(inputs)
    return measured


@settings(max_examples=10, deadline=None, derandomize=True)
@given(size=st.integers(1, 170), seed=st.integers(0, 99), forget=st.sampled_from([(), (1,)]))
def test_prototypes_and_covariances_are_those_of_all_samples(
    clouds, cnn, split, size, seed, forget
):
    model = cnn(seed).double()
    inputs, labels = clouds(seed, 4, (2, 6, 6))
    measured = statistics(model, split(inputs, labels, size), forget=forget)
    expected = pooled_inputs(model, inputs)
    assert list(measured) == list(expected) == ["0", "3", "7"]
    close = {"atol": 1e-9, "rtol": 1e-9}
    for name, rows in expected.items():
        kept, cut = rows[labels.numpy() != 1], rows[labels.numpy() == 1]
        sums = measured[name]
        np.testing.assert_allclose(sums.prototypes([1])[0], cut.mean(0), **close)
        np.testing.assert_allclose(sums.mean([0, 2, 3]), kept.mean(0), **close)
        for classes, own in (([0, 2, 3], kept), ([1], cut), ([0, 1, 2, 3], rows)):
            whole = np.cov(own, rowvar=False, bias=True)
            np.testing.assert_allclose(sums.covariance(classes).matrix, whole, **close)


def test_how_the_data_is_cut_into_batches_does_not_change_one_bit(clouds, split):
    """Beyond what the model itself computes differently: here nothing, it is one layer."""
    inputs, labels = clouds(0, 4, (6,), samples=3 * BLOCK // 8)
    model = nn.Linear(6, 4).double()
    first, second = (statistics(model, split(inputs, labels, size))[""] for size in (7, BLOCK))
    assert torch.equal(first.sums, second.sums)
    assert torch.equal(first.moments.sums, second.moments.sums)


def test_samples_of_ignored_classes_are_passed_over(clouds, split):
    inputs, labels = clouds(0)
    model = nn.Linear(6, 4).double()
    measured = collected(model, split(inputs, labels), ignore=(2,)).measurement
    without = collected(model, split(inputs[labels != 2], labels[labels != 2])).measurement
    assert measured.counts.tolist() == [40, 40, 0, 40]
    torch.testing.assert_close(measured.statistics[""].sums, without.statistics[""].sums)


def test_tokens_are_averaged(clouds, split):
    inputs, labels = clouds(0, 3, (7, 5))
    model = nn.Sequential(nn.Linear(5, 4).double(), nn.Flatten(), nn.Linear(28, 3).double())
    measured = statistics(model, split(inputs, labels))
    expected = inputs[labels == 2].mean((0, 1))
    torch.testing.assert_close(measured["0"].prototypes([2])[0], expected)


def test_a_layer_used_twice_counts_both_uses(clouds, split):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.last = nn.Linear(6, 6).double(), nn.Linear(6, 4).double()

        def forward(self, inputs):
            return self.last(self.mix(self.mix(inputs)))

    model = Twice()
    inputs, labels = clouds(0)
    measured = statistics(model, split(inputs, labels))["mix"]
    both = torch.cat([inputs, model.mix(inputs).detach()])
    expected = both[torch.cat([labels, labels]) == 3].mean(0)
    torch.testing.assert_close(measured.prototypes([3])[0], expected)
    assert measured.counts.tolist() == [80.0] * 4


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
    measured = statistics(model, split(inputs, labels))["mix"]
    torch.testing.assert_close(measured.prototypes([2])[0], inputs[labels == 2].mean(0))


def test_an_input_passed_by_keyword_is_recorded(clouds, split):
    class ByKeyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(6, 4).double()

        def forward(self, inputs):
            return self.last(input=inputs)

    model = ByKeyword()
    assert list(statistics(model, split(*clouds()))) == ["last"]


def test_operators_come_in_the_order_of_their_calls(clouds, split):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(5, 4).double(), nn.Linear(6, 5).double()

        def forward(self, inputs):
            return self.last(self.first(inputs))

    model = Backwards()
    assert list(statistics(model, split(*clouds()))) == ["first", "last"]


def test_layers_that_read_one_tensor_share_their_statistics(clouds, split):
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right, self.last = (nn.Linear(6, 6).double() for _ in range(3))

        def forward(self, inputs):
            return self.last(self.left(inputs) + self.right(inputs))[:, :4]

    measured = collected(Branches(), split(*clouds())).measurement
    assert list(measured.statistics) == ["left", "last"]
    assert [(r.name, r.input_group) for r in measured.readers] == [
        ("left", "left"),
        ("right", "left"),
        ("last", "last"),
    ]


def test_a_tensor_that_was_changed_in_between_is_not_shared(clouds, split):
    class Changing(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = (nn.Linear(6, 4).double() for _ in range(2))

        def forward(self, inputs):
            rows = inputs.clone()
            left = self.left(rows)
            return left + self.right(rows.add_(1))

    inputs, labels = clouds()
    measured = statistics(Changing(), split(inputs, labels))
    assert list(measured) == ["left", "right"]
    torch.testing.assert_close(measured["right"].mean([0, 1]), measured["left"].mean([0, 1]) + 1)


class Fickle(nn.Module):
    """Chooses by the size of the batch, so that the trace does not show it."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.a, self.b, self.last = (nn.Linear(6, 6).double() for _ in range(3))

    def forward(self, inputs):
        large = len(inputs) > 20
        if self.kind == "calls" and large:
            return self.last(self.a(self.b(self.a(inputs))))[:, :4]
        if self.kind == "skips" and large:
            return self.last(self.b(inputs))[:, :4]
        if self.kind == "shares" and large:
            return self.last(self.a(inputs) + self.b(inputs.clone()))[:, :4]
        if self.kind == "folds" and large:
            return self.last(self.a(inputs[: len(inputs) // 2]).repeat(2, 1) + self.b(inputs))[
                :, :4
            ]
        return self.last(self.a(inputs) + self.b(inputs))[:, :4]


@pytest.mark.parametrize(
    ("kind", "lost", "says"),
    [
        ("calls", ["a", "b"], "how often it is called"),
        ("skips", ["a", "b"], "how often it is called"),
        ("shares", ["b"], "does not always read the same inputs as 'a'"),
        ("folds", ["a", "b"], "does not fit 32 samples"),
    ],
)
def test_a_model_that_changes_its_ways_loses_the_operators_concerned(
    clouds, split, kind, lost, says
):
    inputs, labels = clouds()
    batches = [*split(inputs[:32], labels[:32], 16), *split(inputs[32:], labels[32:], 32)]
    measured = collected(Fickle(kind), batches).measurement
    assert [skipped.name for skipped in measured.skipped] == lost
    assert says in measured.skipped[0].reason
    assert "last" in measured.statistics


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
        collected(model, [batch])


def test_no_batch_is_refused():
    model = nn.Linear(6, 4)
    with pytest.raises(BadBatches, match="no batch"):
        collected(model, [])


@pytest.mark.parametrize("wrap", [lambda x: x.sum(), lambda x: {"out": x}, lambda x: x[1:]])
def test_a_model_without_logits_is_refused(clouds, split, wrap):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(6, 4)

        def forward(self, inputs):
            return wrap(self.last(inputs))

    inputs, labels = clouds()
    with pytest.raises(Unsupported, match="logits of shape"):
        collected(Wrapped(), split(inputs.float(), labels))


def test_labels_beyond_the_head_and_broken_numbers_are_problems(clouds, split):
    model = nn.Linear(6, 3).double()
    inputs, labels = clouds()
    inputs[0, 0] = torch.nan
    own = collected(model, split(inputs, labels, 2))
    assert [type(problem) for problem in own.problems] == [BadBatches, NonFinite]
    assert "Labels 3 are outside the model's 3 outputs" in str(own.problems[0])


def test_broken_answers_are_a_problem_though_all_inputs_are_sound(clouds, split):
    model = nn.Linear(6, 4).double()
    assert collected(model, split(*clouds())).problems == ()
    with torch.no_grad():
        model.weight[2, 1] = torch.inf
    (problem,) = collected(model, split(*clouds())).problems
    assert isinstance(problem, NonFinite)
    assert "in the logits" in str(problem)


def test_the_pass_leaves_no_hook_no_bias_and_no_changed_mode(clouds, split, cnn):
    model = cnn().double().train()
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    collected(model, split(*clouds(0, 4, (2, 6, 6))))
    assert not any(layer._forward_pre_hooks for layer in model.modules())
    assert list(before) == list(model.state_dict())
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    assert model.training
    assert not model[1].training


@pytest.mark.parametrize(
    ("rows", "sums"), [("mps", "cpu"), ("cuda", "cuda"), ("cpu", "cpu"), ("xpu", "xpu")]
)
def test_sums_are_kept_where_rows_are_unless_there_is_no_float64(rows, sums):
    assert accumulation_device(torch.device(rows)) == torch.device(sums)


class Wanted:
    """Keeps rows of one class on the pass, three at most."""

    def __init__(self, label):
        self.label, self.left = label, 3
        self.inputs, self.labels, self.logits, self.watched = [], [], [], []

    @property
    def full(self):
        return self.left == 0

    def choose(self, labels):
        rows = (labels == self.label).nonzero().flatten()[: self.left]
        self.left -= len(rows)
        return torch.isin(torch.arange(len(labels)), rows)

    @contextmanager
    def watching(self, chosen):
        self.watched.append(int(chosen.sum()))
        yield

    def add(self, inputs, labels, logits):
        self.inputs.append(inputs)
        self.labels.append(labels)
        self.logits.append(logits)


def test_rows_are_kept_beside_the_sums_where_a_batch_has_some_until_there_are_enough(
    cnn, images, split
):
    model, (inputs, labels) = cnn(), images
    order = labels.argsort(stable=True)  # forty rows of each class after the other
    batches = split(inputs[order], labels[order], 38)
    keeper, first = Wanted(2), []
    with_rows = collect(
        model,
        find(model)[0],
        batches,
        for_request((2,)),
        beside=lambda rows: first.append(rows) or keeper,
    )
    assert [len(rows) for rows in first] == [38]
    # of batches of 38, 38, 38, 38 and 8 rows the third has the first of class 2
    assert keeper.watched == [3]
    expected = inputs[order][80:83]
    torch.testing.assert_close(torch.cat(keeper.inputs), expected)
    assert torch.cat(keeper.labels).tolist() == [2, 2, 2]
    torch.testing.assert_close(torch.cat(keeper.logits), model(expected).detach())
    without = collect(model, find(model)[0], batches, for_request((2,)))
    for name, sums in without.measurement.statistics.items():
        assert torch.equal(with_rows.measurement.statistics[name].sums, sums.sums)
    assert with_rows.problems == without.problems == ()
