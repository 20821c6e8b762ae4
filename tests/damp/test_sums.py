"""Parts of the search for sums, each by itself: who reads one, who writes it, and by how much."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from damp import sums
from damp.layouts import SAMPLES
from damp.operators import find
from damp.sums import RectifierCall, Rectifiers, Sum, cell_means, find_sums, with_writers
from damp.tracing import trace


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        # a ten-thousandth of each, and a hundred-thousandth of the largest
        (1.09e-3, 0.0, True),
        (1.11e-3, 0.0, False),
        (0.0, 0.99e-4, True),
        (0.0, 1.01e-4, False),
    ],
)
def test_numbers_agree_up_to_shares_of_themselves_and_of_the_largest(first, second, alike):
    goal = torch.tensor([-10.0, 0.0]).double()
    assert sums._alike(goal + torch.tensor([first, second]), goal) is alike


def test_cells_are_means_in_the_order_of_flatten():
    maps = torch.randn(2, 3, 4, 4)
    assert torch.equal(cell_means(maps[..., 0, 0], 2), maps[..., 0, 0])
    torch.testing.assert_close(cell_means(maps, 1), maps.mean((2, 3)))
    expected = maps.reshape(2, 3, 2, 2, 2, 2).mean((3, 5)).flatten(1)
    torch.testing.assert_close(cell_means(maps, 2), expected)


@pytest.mark.parametrize(
    ("shape", "read", "in_cells", "side"),
    [
        ((5, 3), lambda x: x, False, 1),
        ((5, 3), lambda x: x, True, 1),
        ((5, 3), lambda x: x + 0.1, True, None),
        ((5, 3), lambda x: x[:, :2], True, None),
        ((5, 3), lambda x: x[:4], True, None),
        ((5, 3, 4), lambda x: x.mean(2), True, None),
        ((5, 3, 4, 4), lambda x: x.mean((2, 3)), False, 1),
        ((5, 3, 4, 4), lambda x: x.mean((2, 3)), True, 1),
        ((5, 3, 4, 4), lambda x: cell_means(x, 2), False, None),
        ((5, 3, 4, 4), lambda x: cell_means(x, 2), True, 2),
        ((5, 3, 4, 4), lambda x: x.flatten(1), True, 4),
        ((5, 3, 4, 4), lambda x: x.flatten(1)[:, :2], True, None),
        ((5, 3, 4, 4), lambda x: x.flatten(1)[:, :15], True, None),
    ],
)
def test_a_head_reads_a_rectifier_whole_or_in_cells(shape, read, in_cells, side):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    call = RectifierCall(values, torch.relu)
    assert sums._side(call, read(torch.relu(values)), in_cells=in_cells) == side


@pytest.mark.parametrize(
    "rectifier",
    [
        torch.relu,
        lambda x: functional.relu(x, True),
        lambda x: functional.leaky_relu(x, 0.3),
        lambda x: functional.leaky_relu(x, negative_slope=0.2, inplace=True),
        lambda x: functional.elu(x, alpha=0.7),
        lambda x: functional.gelu(x, approximate="tanh"),
        lambda x: functional.hardswish(x, inplace=True),
    ],
)
def test_a_rectifier_is_kept_with_its_settings_and_works_on_a_copy(rectifier):
    values = torch.randn(4, 3)
    before = values.clone()
    with Rectifiers() as calls:
        expected = rectifier(values)
    (call,) = calls.calls.values()
    assert torch.equal(call.values, before)
    assert torch.equal(call.rectifier(call.values), expected)
    assert torch.equal(call.values, before)


def test_calls_are_counted_and_the_input_of_one_may_be_another():
    values, other = torch.randn(2, 3), torch.randn(2, 3)
    with Rectifiers([0, 2], replaced=(1, other)) as calls:
        outputs = [torch.relu(values + shift) for shift in (0.0, 1.0, 2.0)]
    assert (calls.count, sorted(calls.calls)) == (3, [0, 2])
    for output, given in zip(outputs, (values, other, values + 2), strict=True):
        assert torch.equal(output, given.relu())
    assert torch.equal(calls.calls[2].values, values + 2)


class Written(nn.Module):
    """A layer whose outputs become a sum in a way of the test's choice; a head reads the sum."""

    def __init__(self, between, outputs=4):
        super().__init__()
        self.writer, self.head = nn.Linear(3, outputs), nn.Linear(outputs, 2)
        self.other = nn.Linear(3, outputs)
        nn.init.zeros_(self.writer.bias)
        self.between, self.calls, self.rows = between, 0, None

    def forward(self, rows):
        self.calls, self.rows = self.calls + 1, rows
        return self.head(torch.relu(self.between(self, self.writer(rows))))


def factors(between, outputs=4):
    """What is measured of the writer, and how often the network ran for that."""
    torch.manual_seed(0)
    model = Written(between, outputs).double()
    rows = torch.randn(SAMPLES, 3).double()
    operators = {operator.name: operator for operator in find(model)[0]}
    writer, use = operators["writer"], trace(model, [operators["head"]], rows).uses["head"]
    with torch.no_grad():
        calls, _ = sums._run(model, use, rows)
        before, model.calls = calls[0].values, 0
        measured = list(sums._factor(model, use, rows, writer, 0, before))
    assert not model.writer.bias.any()
    return [factor.tolist() for factor in measured], model.calls


def test_a_factor_is_measured_by_two_probes_where_the_sum_moves_with_the_layer():
    scales = torch.tensor([1.0, -2.0, 0.5, 3.0]).double()
    (factor,), calls = factors(lambda _, x: x * scales)
    assert factor == pytest.approx(scales.tolist())
    assert calls == 2


@pytest.mark.parametrize(
    "between",
    [
        lambda model, _: model.other(model.rows),
        lambda _, x: x.square(),
        lambda _, x: x @ torch.ones(4, 4).double(),
        lambda _, x: x * torch.arange(7.0)[:, None],
    ],
)
def test_there_is_none_where_it_does_not_or_otherwise_for_each_sample(between):
    assert factors(between)[0] == []


SIGNS = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 0.0]).double()[:, None]
"""Of the samples: they add up to nothing."""


@pytest.mark.parametrize(
    ("factor", "apart", "constant"),
    [
        # a thousandth of the largest shift, (1 + apart) times the nudge
        (1.0, 1.0005e-3, True),
        (1.0, 1.0015e-3, False),
        # of the nudge itself where the sum moves by less
        (0.1, 0.99e-2, True),
        (0.1, 1.01e-2, False),
    ],
)
def test_samples_may_differ_by_a_thousandth(factor, apart, constant):
    measured, _ = factors(lambda _, x: factor * x * (1 + apart * SIGNS))
    assert bool(measured) is constant
    assert not constant or measured[0] == pytest.approx([factor] * 4)


@pytest.mark.parametrize("curve", [4.99e-4, 5e-4, 5.01e-4])
def test_probes_may_differ_by_a_thousandth_of_the_first(curve):
    """A sum b + k b^2 of the bias b: a probe of the size n has the factor 1 + k n, or 1 - k n."""
    generator = torch.Generator().manual_seed(0)
    one, other = (int(torch.randint(0, 2, (1,), generator=generator)) * 2 - 1 for _ in range(2))
    assert one != other
    sizes = []

    def bent(model, x):
        if not sizes:
            sizes.append(0.5 * float(x.detach().std()))
        return x + curve / sizes[0] * model.writer.bias**2

    measured, _ = factors(bent, outputs=1)
    expected = 2 * curve <= 1e-3 * (1 + one * curve)
    assert bool(measured) is expected
    assert not expected or measured[0] == pytest.approx([1.0])


WHOLE = SimpleNamespace(count=None)


@pytest.mark.parametrize(
    ("changes", "plain"),
    [
        ({}, True),
        ({"layer": nn.Conv2d(1, 1, 1)}, True),
        ({"layer": nn.Conv1d(1, 1, 1)}, False),
        ({"groups": 2}, False),
        ({"sharing": ("other",)}, False),
        ({"part": SimpleNamespace(count=2)}, False),
        ({"calls": 2}, False),
        ({"bias_applied": torch.tensor([True, False])}, False),
    ],
)
def test_a_plain_writer_has_a_weight_and_a_bias_of_its_own_and_is_called_once(changes, plain):
    own = {"layer": nn.Linear(1, 1), "groups": 1, "sharing": (), "part": WHOLE} | changes
    use = {"calls": 1, "bias_applied": torch.tensor([True, True])} | changes
    assert sums._plain(SimpleNamespace(operator=SimpleNamespace(**own), **use)) is plain


def test_as_many_sums_are_given_as_are_wanted_the_last_ones_in_forward_order():
    torch.manual_seed(0)
    parts = [part for _ in range(4) for part in (nn.Linear(5, 5), nn.ReLU())]
    model = nn.Sequential(*parts, nn.Linear(5, 2)).double().train()
    rows = torch.randn(9, 5).double()
    head = trace(model, find(model)[0], rows).uses["8"]
    for count in (1, 2, 4, 9):
        places = [each.place for each in find_sums(model, head, rows, count)]
        assert places == [0, 1, 2, 3][-count:]
    assert model.training
    (last,) = find_sums(model, head, rows, 1)
    assert (last.name, last.channels, last.side, last.writers) == ("rectifier 3", 5, 1, ())
    same = find_sums(model, head, torch.ones(9, 5).double(), 1)
    assert same == "what '8' reads does not depend on the samples"


def test_a_sum_is_written_by_the_layers_that_add_to_it_or_it_is_said_that_none_does():
    """The inputs themselves go into the first rectifier: no layer comes before it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    rows = torch.randn(SAMPLES, 5).double()
    uses = trace(model, find(model)[0], rows).uses
    first, last = find_sums(model, uses["3"], rows, 2)
    assert with_writers(model, first, uses["3"], uses, rows) == (
        "no layer of its own weight and bias adds to it by a factor for each channel"
    )
    written = with_writers(model, last, uses["3"], uses, rows)
    assert isinstance(written, Sum)
    (writer,) = written.writers
    assert (written.name, writer.operator.name) == ("1", "1")
    assert writer.factor.tolist() == pytest.approx([1.0] * 5)
