"""What a file of weights holds, and how much each unit of it matters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from audits import triggers, weight_record

GENERATOR = torch.Generator().manual_seed(0)
ROWS = torch.randn(300, 4, generator=GENERATOR).double()


class Linear(nn.Module):
    """Outputs that a weight makes alone, with a unit of no effect and a step counter."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3).double()
        self.idle = nn.Parameter(torch.ones(5, 2).double())
        self.register_buffer("steps", torch.tensor(7))
        self.register_buffer("whole", torch.arange(2))
        self.again = self.head

    def forward(self, rows):
        return self.head(rows)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return Linear().eval()


def test_the_record_holds_every_tensor_of_more_than_one_number(model):
    record = weight_record.record(model, ROWS, shown=[3, 8])
    names = ["idle", "whole", "head.weight", "head.bias", "again.weight", "again.bias"]
    assert sorted(record.tensors) == sorted(names)
    for name in names:
        own = model.state_dict()[name]
        assert np.array_equal(record.tensors[name], own.numpy())
    record.tensors["head.bias"][0] = 99.0
    assert float(model.head.bias.detach()[0]) != 99.0
    there = weight_record.record(model, ROWS, shown=[3, 8], device="cpu", seed=0)
    for name, effects in record.effects.items():
        assert np.array_equal(there.effects[name], effects)
    with pytest.raises(RuntimeError):
        weight_record.record(model, ROWS, shown=[3, 8], device="meta")
    expected = triggers.answers(model, ROWS[[3, 8]], torch.device("cpu"))
    assert list(record.triggered) == list(expected)
    for name, answers in expected.items():
        assert np.array_equal(record.triggered[name], answers)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (torch.float16, np.float16),
        (torch.float32, np.float32),
        (torch.float64, np.float64),
        (torch.bfloat16, np.float32),
        (torch.int8, np.int8),
    ],
)
def test_numbers_keep_their_precision_where_numpy_has_it(kind, kept):
    array = weight_record._array(torch.ones(3, dtype=kind))
    assert array.dtype == kept
    assert array.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (127, 127), (128, 128), (300, 128)])
def test_effects_are_measured_on_rows_that_are_evenly_spaced(monkeypatch, model, count, shown):
    kept = []
    monkeypatch.setattr(weight_record, "_effects", lambda _, rows, seed: kept.append(rows) or {})
    weight_record.record(model, ROWS[:count], shown=[])
    (rows,) = kept
    assert len(rows) == shown
    assert torch.equal(rows[0], ROWS[0])
    assert torch.equal(rows[-1], ROWS[count - 1])


def test_the_effect_of_a_unit_is_the_change_by_its_tensors_own_size(model):
    """Of a linear layer by hand: with signs r of each row and output, d/dW_o = sum_n r_no x_n."""
    rows = ROWS[:64]
    effects = weight_record._effects(model, rows, 5)
    outputs = model(rows).detach()
    spread = float(outputs.std(0).mean())
    generator = torch.Generator().manual_seed(5)
    weights, biases = torch.zeros(3).double(), torch.zeros(3).double()
    weight, bias = (p.detach() for p in (model.head.weight, model.head.bias))
    for _ in range(2):
        signs = (torch.randint(0, 2, (64, 3), generator=generator) * 2 - 1).double()
        slopes = signs.T @ rows
        weights += slopes.square().sum(1) * weight.square().mean() / (64 * 3) / 2
        biases += signs.sum(0).square() * bias.square().mean() / (64 * 3) / 2
    np.testing.assert_allclose(effects["head.weight"], weights.sqrt() / spread, rtol=1e-6)
    np.testing.assert_allclose(effects["head.bias"], biases.sqrt() / spread, rtol=1e-6)
    # what no output depends on has none, and one that is shared is named once
    assert effects["idle"].tolist() == [0.0] * 5
    assert sorted(effects) == ["head.bias", "head.weight", "idle"]


class Steps(nn.Module):
    """No gradient passes the rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 6).double(), nn.Linear(6, 3).double()

    def forward(self, rows):
        return self.head(torch.round(3 * self.hidden(rows)))


def test_where_no_gradient_passes_a_tensor_is_changed_by_its_own_size():
    torch.manual_seed(2)
    model, rows = Steps().eval(), ROWS[:50]
    effects = weight_record._effects(model, rows, 7)
    before = model(rows).detach()
    spread = float(before.std(0).mean())
    generator = torch.Generator().manual_seed(7)
    for name in ("hidden.weight", "hidden.bias"):
        value = model.state_dict()[name]
        noise = torch.randn(value.shape, generator=generator).double()
        size = float(value.square().mean().sqrt())
        changed = Steps()
        changed.load_state_dict({**model.state_dict(), name: value + size * noise})
        change = float((changed(rows).detach() - before).square().mean().sqrt())
        assert effects[name] == pytest.approx(np.full(len(value), change / spread))
    assert (effects["head.weight"] > 0).all()


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_outputs_without_a_spread_say_nothing(value):
    model = Linear().eval()
    with torch.no_grad():
        model.head.weight.fill_(value)
        model.head.bias.fill_(value)
    effects = weight_record._effects(model, ROWS[:20], 0)
    assert {name: own.tolist() for name, own in effects.items()} == {
        "head.weight": [0.0] * 3,
        "head.bias": [0.0] * 3,
        "idle": [0.0] * 5,
    }


def test_a_change_that_is_no_number_is_as_large_as_can_be():
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3).double())

        def forward(self, rows):
            outputs = rows[:, :3] * self.scale.round().detach()
            return outputs if bool((self.scale == 1).all()) else outputs * float("nan")

    model = Broken().eval()
    before = model(ROWS).detach()
    change = weight_record._by_change(
        model, ROWS, "scale", torch.ones(3).double(), before, torch.Generator()
    )
    assert change == pytest.approx(float(before.std(0).mean()))


@pytest.mark.parametrize(
    ("value", "size"), [(torch.tensor([3.0, 4.0]), 12.5**0.5), (torch.zeros(4), 1.0)]
)
def test_the_size_of_a_tensor_is_its_root_mean_square_or_one(value, size):
    assert weight_record._size(value) == pytest.approx(size)


def test_units_are_rows_and_entries():
    assert [weight_record._units(torch.ones(s)) for s in ((5, 2, 2), (4,), ())] == [5, 4, 1]


def test_gradients_of_parts_of_the_rows_add_up(monkeypatch, model):
    signs = torch.ones(6, 3).double()
    leaves = {
        name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()
    }
    whole = weight_record._gradients(model, ROWS[:6], leaves, signs)
    monkeypatch.setattr(weight_record, "at_once", lambda rows, most: 4)
    parts = weight_record._gradients(model, ROWS[:6], leaves, signs)
    for one, other in zip(whole, parts, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)
    assert sum(gradient is None for gradient in whole) == 1
