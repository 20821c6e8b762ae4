"""What a few samples show of how a model uses its operators."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from damp.errors import Unsupported
from damp.layouts import Layout
from damp.operators import find
from damp.tracing import capture_inputs, trace


def traced(model, *shape):
    inputs = torch.randn(9, *shape, generator=torch.Generator().manual_seed(0))
    return trace(model, find(model)[0], inputs)


class Functional(nn.Module):
    """Calls its layers in every way but the usual one."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(6, 6)
        self.bare = nn.Linear(6, 6, bias=False)
        self.other = nn.Linear(6, 6)
        self.conv = nn.Conv1d(1, 2, 3, padding=1)
        self.last = nn.Linear(12, 4)

    def forward(self, inputs):
        x = functional.linear(inputs, weight=self.mix.weight, bias=self.mix.bias)
        x = functional.linear(x, self.bare.weight)
        x = functional.linear(x, self.other.weight, self.other.bias * 2)
        x = functional.conv1d(x[:, None], self.conv.weight, self.conv.bias, 1, 1)
        return self.last(x.flatten(1))


def test_functional_calls_are_traced_and_so_is_whose_bias_they_add():
    run = traced(Functional(), 6).uses
    bias_applied = {name: bool(use.bias_applied.all()) for name, use in run.items()}
    assert bias_applied == {"mix": True, "bare": False, "other": False, "conv": True, "last": True}


def test_a_missing_bias_counts_as_applied_where_the_layer_would_add_it():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.Flatten(), nn.Linear(36, 4, bias=False)
    )
    assert all(bool(use.bias_applied.all()) for use in traced(model, 1, 5, 5).uses.values())
    assert model[0].bias is None


def test_a_bias_that_is_changed_in_part_is_applied_in_part():
    class Silencing(nn.Linear):
        def forward(self, inputs):
            bias = self.bias.clone()
            bias[1:3] = 0
            return functional.linear(inputs, self.weight, bias)

    use = traced(Silencing(6, 4), 6).uses[""]
    assert use.bias_applied.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda w, x: x @ w.t(), "`t`"),
        (lambda w, x: functional.linear(x, functional.normalize(w)), "normalize"),
        (lambda w, x: torch.addmm(torch.zeros(4), x, w.mT), "mT"),
        (lambda w, x: functional.linear(x, torch.cat([w, w])[:4]), "`cat`"),
    ],
)
def test_a_weight_that_is_used_in_another_way_too_is_named(use, says):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.last = nn.Linear(6, 4), nn.Linear(6, 4)

        def forward(self, inputs):
            return self.layer(inputs) + use(self.layer.weight, inputs) + self.last(inputs)

    run = traced(Odd(), 6)
    assert list(run.uses) == ["last"]
    assert "too, which would feel the edit" in run.skipped[0].reason


def test_looking_at_a_weight_is_no_use_of_it():
    class Looking(nn.Linear):
        def forward(self, inputs):
            same = self.weight.to(inputs.dtype).contiguous()
            assert same.shape == self.weight.shape
            assert self.weight.dim() == 2
            assert self.weight.size(0) == 4
            return functional.linear(inputs.to(self.weight.device), same, self.bias)

    assert list(traced(Looking(6, 4), 6).uses) == [""]


class Attention(nn.Module):
    """Attention with all its options."""

    def __init__(self, **options):
        super().__init__()
        self.batch_first = options.get("batch_first", False)
        self.attention = nn.MultiheadAttention(8, 2, **options)
        self.last = nn.Linear(8, 4)

    def forward(self, tokens):
        tokens = tokens if self.batch_first else tokens.transpose(0, 1)
        mixed, weights = self.attention(tokens, tokens, tokens)
        assert weights.shape[-1] >= tokens.shape[1 if self.batch_first else 0]
        return self.last(mixed).mean(1 if self.batch_first else 0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_first": True},
        {"bias": False},
        {"add_bias_kv": True},
        {"add_zero_attn": True},
        {"kdim": 8, "vdim": 8},
    ],
)
def test_every_projection_of_attention_is_read_at_its_own_input(options):
    model = Attention(**options).eval()
    tokens = torch.randn(9, 5, 8, generator=torch.Generator().manual_seed(1))
    before = model(tokens).detach()
    run = trace(model, find(model)[0], tokens)
    names = [f"attention.{role}_proj" for role in ("q", "k", "v", "out")]
    assert list(run.uses) == [*names, "last"]
    assert run.input_groups == ["attention.q_proj", "attention.out_proj", "last"]
    pooled = {}
    with capture_inputs(run.uses.values(), 9, pooled.__setitem__), torch.no_grad():
        answer = model(tokens)
    torch.testing.assert_close(answer, before)
    torch.testing.assert_close(pooled["attention.q_proj"], tokens.mean(1))
    torch.testing.assert_close(pooled["attention.k_proj"], tokens.mean(1))
    outward = model.attention.out_proj
    torch.testing.assert_close(
        functional.linear(pooled["attention.out_proj"], outward.weight, outward.bias),
        pooled["last"],
    )


def test_keys_and_values_from_elsewhere_have_inputs_of_their_own():
    class Crossing(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True)
            self.narrow, self.last = nn.Linear(8, 6), nn.Linear(8, 4)

        def forward(self, tokens):
            memory = self.narrow(tokens)
            return self.last(self.attention(tokens, memory, memory)[0].mean(1))

    run = traced(Crossing(), 5, 8)
    assert run.uses["attention.k_proj"].input_group == "attention.k_proj"
    assert run.uses["attention.v_proj"].input_group == "attention.k_proj"
    assert run.uses["attention.q_proj"].input_group == "attention.q_proj"


def test_uses_are_counted_and_ordered():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.mix = nn.Linear(6, 4), nn.Linear(6, 6)

        def forward(self, inputs):
            return self.last(self.mix(self.mix(inputs)))

    run = traced(Twice(), 6)
    assert {name: use.calls for name, use in run.uses.items()} == {"mix": 2, "last": 1}
    assert list(run.uses) == ["mix", "last"]
    assert run.classes == 4


def test_a_layer_that_evaluation_never_calls_is_passed_over_with_the_reason():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.aside, self.last = nn.Linear(6, 6), nn.Linear(6, 4), nn.Linear(6, 4)

        def forward(self, inputs):
            x = self.body(inputs)
            return (self.last(x), self.aside(x)) if self.training else self.last(x)

    run = traced(Auxiliary().train(), 6)
    assert list(run.uses) == ["body", "last"]
    (skipped,) = run.skipped
    assert skipped.name == "aside"
    assert skipped.reason.startswith("it was never called in a forward pass in evaluation mode")


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(),
                          nn.Dropout(), nn.Linear(36, 4)).train()  # fmt: skip
    before, parameters = copy.deepcopy(model), list(model.parameters())
    traced(model, 2, 5, 5)
    assert [id(value) for value in model.parameters()] == [id(value) for value in parameters]
    assert list(model.state_dict()) == list(before.state_dict())
    for ours, theirs in zip(model.state_dict().values(), before.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert model.training


def test_the_model_is_left_as_it_was_even_if_it_fails():
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(6, 6, bias=False), nn.Linear(5, 4)

        def forward(self, inputs):
            return self.last(self.first(inputs))

    model = Failing()
    with pytest.raises(Unsupported, match="fails on inputs of shape"):
        traced(model, 6)
    assert model.first.bias is None


def test_a_model_that_wants_more_than_inputs_is_refused():
    class Greedy(nn.Linear):
        def forward(self, inputs, mask):
            return super().forward(inputs)

    with pytest.raises(Unsupported, match=r"required argument: 'mask'.*forward takes"):
        traced(Greedy(6, 4), 6)


def test_images_of_another_size_do_not_fit_what_was_traced():
    model = nn.Sequential(nn.Linear(6, 4))
    run = traced(model, 6)
    assert run.uses["0"].layout == Layout(axis=0)
    with (
        pytest.raises(Unsupported, match="does not fit 3 samples"),
        capture_inputs(run.uses.values(), 3, lambda *_: None),
    ):
        model(torch.ones(4, 6))
