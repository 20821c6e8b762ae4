"""Which layers can be cut, and which are named and left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import damp
from damp.operators import add_bias, add_missing_biases, find, head


def reasons(model):
    return {skipped.name: skipped.reason for skipped in find(model)[1]}


def names(model):
    return [operator.name for operator in find(model)[0]]


def test_a_weight_is_viewed_as_outputs_features_and_positions():
    assert find(nn.Linear(5, 3))[0][0].weight().shape == (3, 5, 1)
    assert find(nn.Conv2d(5, 3, (3, 2)))[0][0].weight().shape == (3, 5, 6)
    assert find(nn.Conv3d(5, 3, (3, 2, 2)))[0][0].weight().shape == (3, 5, 12)
    assert find(nn.Conv1d(6, 4, 3, groups=2))[0][0].weight().shape == (4, 3, 3)


@pytest.mark.parametrize(
    ("layer", "features", "groups"),
    [
        (nn.Linear(5, 3), 5, 1),
        (nn.Conv1d(5, 3, 3), 5, 1),
        (nn.Conv2d(6, 4, 3, groups=2), 6, 2),
        (nn.Conv3d(4, 8, 1), 4, 1),
    ],
)
def test_an_operator_knows_its_features_and_groups(layer, features, groups):
    operator = find(layer)[0][0]
    assert (operator.features, operator.groups) == (features, groups)
    assert operator.outputs == layer.weight.shape[0]


def test_packed_attention_is_four_operators():
    layer = nn.MultiheadAttention(4, 2)
    operators = {operator.name: operator for operator in find(nn.Sequential(layer))[0]}
    assert list(operators) == ["0.q_proj", "0.k_proj", "0.v_proj", "0.out_proj"]
    for place, role in enumerate("qkv"):
        rows = slice(4 * place, 4 * place + 4)
        torch.testing.assert_close(
            operators[f"0.{role}_proj"].weight()[..., 0], layer.in_proj_weight[rows]
        )
        torch.testing.assert_close(operators[f"0.{role}_proj"].biases(), [layer.in_proj_bias[rows]])


def test_attention_with_keys_of_another_width_keeps_its_weights_apart():
    layer = nn.MultiheadAttention(4, 2, kdim=6, vdim=8)
    features = {operator.name: operator.features for operator in find(layer)[0]}
    assert features == {"q_proj": 4, "k_proj": 6, "v_proj": 8, "out_proj": 4}


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (nn.Conv2d(4, 4, 3, groups=4), "depthwise"),
        (nn.Conv2d(4, 8, 3, groups=4), "depthwise"),
        (nn.ConvTranspose2d(4, 4, 3), "transposed"),
        (nn.Bilinear(4, 4, 2), "weight"),
        (nn.LSTM(4, 4), "weight_ih_l0"),
        (nn.LazyLinear(4), "lazy"),
        (parametrizations.weight_norm(nn.Linear(4, 4)), "remove_parametrizations"),
        (parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)), "remove_parametrizations"),
        (prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5), "computed from other parameters"),
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


def test_a_weight_that_several_layers_share_is_one_operator():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    operators, skipped = find(nn.Sequential(first, second, nn.Linear(4, 2)))
    assert [operator.name for operator in operators] == ["0", "2"]
    assert operators[0].owners == (first, second)
    assert skipped == []


def test_a_weight_shared_with_a_layer_of_another_kind_is_left_alone():
    words, head = nn.Embedding(4, 8), nn.Linear(8, 4)
    head.weight = words.weight
    model = nn.ModuleDict({"words": words, "head": head})
    assert names(model) == []
    assert reasons(model)["head"] == "it shares its weight with 'words', which cannot be cut"


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


def test_attention_gets_all_its_biases():
    model = nn.Sequential(nn.MultiheadAttention(4, 2, bias=False))
    assert add_missing_biases(model, ["0.in_proj_bias", "0.out_proj.bias"]) == ["0", "0.out_proj"]
    assert model[0].in_proj_bias.shape == (12,)
    assert model[0].out_proj.bias.shape == (4,)


def test_only_operators_take_a_bias():
    with pytest.raises(damp.errors.Unsupported, match="takes no bias"):
        add_bias(nn.Embedding(4, 2))


def test_a_model_that_is_one_layer_gets_its_bias_too():
    model = nn.Linear(4, 2, bias=False)
    assert add_missing_biases(model, ["weight", "bias"]) == [""]
