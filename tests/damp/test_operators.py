"""Which layers can be cut, and which are named and left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import damp
from damp.operators import WIDEST, add_missing_biases, find, head


def reasons(model):
    return {skipped.name: skipped.reason for skipped in find(model)[1]}


def names(model):
    return [operator.name for operator in find(model)[0]]


@pytest.mark.parametrize(
    ("layer", "features", "inputs"),
    [
        (nn.Linear(5, 3), 5, (2, 5)),
        (nn.Linear(5, 3), 5, (2, 7, 5)),
        (nn.Linear(5, 3), 5, (2, 4, 4, 5)),
        (nn.Conv1d(5, 3, 3), 5, (2, 5, 9)),
        (nn.Conv2d(5, 3, (3, 1)), 5, (2, 5, 9, 8)),
    ],
)
def test_inputs_are_averaged_over_positions_per_sample(layer, features, inputs):
    operator = find(layer)[0][0]
    values = torch.randn(*inputs)
    pooled = operator.pool(values)
    rows = values.movedim(operator.view.axis, -1).reshape(2, -1, features)
    assert operator.features == features
    torch.testing.assert_close(pooled, rows.mean(1))


def test_a_weight_is_seen_as_outputs_features_and_positions():
    assert find(nn.Linear(5, 3))[0][0].weight().shape == (3, 5, 1)
    assert find(nn.Conv2d(5, 3, (3, 2)))[0][0].weight().shape == (3, 5, 6)


class Reshaping(nn.Linear):
    """A linear layer that does something else."""

    def forward(self, inputs):
        return super().forward(inputs) * 2


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (nn.Conv2d(4, 4, 3, groups=4), "4 groups"),
        (nn.Conv2d(4, 8, 1, groups=2), "2 groups"),
        (nn.ConvTranspose2d(4, 4, 3), "transposed"),
        (nn.Conv3d(4, 4, 3), "one- and two-dimensional"),
        (nn.MultiheadAttention(4, 2), "called functionally"),
        (nn.Bilinear(4, 4, 2), "weight"),
        (nn.LSTM(4, 4), "weight_ih_l0"),
        (Reshaping(4, 4), "changes what Linear.forward does"),
        (nn.LazyLinear(4), "lazy"),
        (nn.Linear(WIDEST + 1, 1), "above the limit"),
        (parametrizations.weight_norm(nn.Linear(4, 4)), "parametrization"),
    ],
)
def test_layers_that_cannot_be_cut_are_named_with_the_reason(layer, says):
    model = nn.Sequential(layer, nn.Linear(4, 2))
    assert "0" not in names(model)
    assert says in reasons(model)["0"]


def test_parameters_of_the_model_itself_are_named():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.position = nn.Parameter(torch.zeros(1, 7, 4))
            self.last = nn.Linear(4, 2)

    assert reasons(Tokens()) == {"position": "it belongs to no layer that can be cut"}
    inside = reasons(nn.Sequential(Tokens()))
    assert inside == {"0.position": "it belongs to no layer that can be cut"}


def test_layers_without_features_to_mix_are_not_worth_a_word():
    model = nn.Sequential(
        nn.BatchNorm2d(4), nn.LayerNorm((4, 4)), nn.GroupNorm(2, 4), nn.PReLU(4), nn.ReLU()
    )
    assert find(model) == ([], [])


def test_the_output_projection_of_attention_is_no_linear_layer():
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    assert names(model) == ["0.linear1", "0.linear2"]
    assert list(reasons(model)) == ["0.self_attn"]


def test_a_shared_weight_is_left_alone():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    model = nn.Sequential(first, second, nn.Linear(4, 2))
    assert names(model) == ["2"]
    assert reasons(model) == {
        "0": "it shares its weight with '1'",
        "1": "it shares its weight with '0'",
    }


def test_one_layer_in_two_places_is_one_operator():
    layer = nn.Linear(4, 4)
    assert names(nn.Sequential(layer, nn.ReLU(), layer)) == ["0"]


def test_the_head_is_the_last_operator():
    assert head(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))) == "2"
    with pytest.raises(damp.errors.Unsupported, match="nothing to cut"):
        head(nn.ReLU())


def test_the_plain_architecture_loads_edited_weights(cnn, clouds, split):
    inputs, labels = clouds(0, 4, (2, 6, 6))
    model = cnn()
    edited = damp.forget(model, split(inputs.float(), labels), forget=1).unretired
    state = edited.state_dict()
    plain = cnn(seed=5)
    assert add_missing_biases(plain, state) == ["0", "3"]
    assert add_missing_biases(plain, state) == []
    plain.load_state_dict(state)
    torch.testing.assert_close(plain(inputs.float()), edited(inputs.float()), rtol=0, atol=0)


def test_no_bias_is_added_without_need():
    model = nn.Sequential(nn.Linear(4, 2, bias=False))
    assert add_missing_biases(model, ["0.weight"]) == []
    assert model[0].bias is None


def test_a_model_that_is_one_layer_gets_its_bias_too():
    model = nn.Linear(4, 2, bias=False)
    assert add_missing_biases(model, ["weight", "bias"]) == [""]
