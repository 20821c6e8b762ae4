"""The one pass that serves every request, and what it is taken on."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from damp.aftercare import RetiredOutputs
from damp.errors import BadOption, DampError, Unsupported
from damp.measurement import digest
from damp.measuring import copy_model, measure, preserve_state, select_operators, unwrap


def test_counts_and_means_are_those_of_the_samples_of_classes_that_are_there(cnn, images, split):
    model, (inputs, labels) = cnn(), images
    whole = measure(model, split(inputs, labels))
    assert (whole.samples, whole.counts.tolist()) == (160, [40] * 4)
    assert [reader.name for reader in whole.readers] == ["0", "3", "7"]
    assert whole.skipped == ()
    assert whole.weights == digest(model)
    # of a model that has retired a class its samples are passed over
    retired = measure(RetiredOutputs(RetiredOutputs(model, (1,)), (3,)), split(inputs, labels))
    assert retired.counts.tolist() == [40, 0, 40, 0]
    assert retired.weights == digest(model)
    expected = inputs[labels == 2].mean((0, 2, 3)).double()
    torch.testing.assert_close(retired.statistics["0"].prototypes([2])[0], expected)


def test_layers_of_skip_are_named_with_what_lies_in_them(cnn, batches):
    measured = measure(cnn(), batches, skip=["3"])
    assert [reader.name for reader in measured.readers] == ["0", "7"]
    assert [(s.name, s.reason) for s in measured.skipped] == [("3", "it is named in `skip`")]
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), nn.Linear(3, 2))
    for skip, names in (
        (["0"], ["1"]),
        (["0.0"], ["0.1", "1"]),
        (["0.", "00"], ["0.0", "0.1", "1"]),
        ([], ["0.0", "0.1", "1"]),
    ):
        kept, skipped = select_operators(model, skip)
        assert [operator.name for operator in kept] == names
        assert len(kept) + len(skipped) == 3


def test_what_is_measured_can_be_used_outside_of_inference_mode(cnn, images, split):
    with torch.inference_mode():
        measured = measure(cnn(), split(*(part.clone() for part in images)), device="cpu")
    sums = [one.sums for one in measured.statistics.values()]
    assert not any(value.is_inference() or value.requires_grad for value in sums)


def test_random_states_and_gradients_are_put_back():
    model = nn.Linear(2, 2)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with preserve_state(model, None):
        torch.rand(9)
        assert not torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
    assert torch.equal(torch.rand(2), expected)


def test_classes_that_were_retired_one_after_the_other_are_all_named_once():
    inner = nn.Linear(3, 5)
    model = RetiredOutputs(RetiredOutputs(inner, (4, 1)), (1, 0))
    network, retired = unwrap(model)
    assert network is inner
    assert retired == (0, 1, 4)
    assert unwrap(inner) == (inner, ())


def test_the_model_that_is_measured_stays_and_works_on_its_copy(cnn, batches):
    model = cnn()
    before = copy.deepcopy(model.state_dict())
    working = copy_model(model, None)
    assert working is not model
    measure(model, batches, device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_that_cannot_be_copied_is_refused():
    model = nn.Linear(2, 2)
    model.doubled = 2 * model.weight  # as weight norm in its old form keeps what it has computed
    with pytest.raises(Unsupported, match="cannot be copied"):
        copy_model(model, None)


def test_all_problems_are_told_at_once(cnn, batches):
    with pytest.raises(DampError) as refused:
        measure(cnn(), None, device="nowhere")
    assert "nowhere" in str(refused.value)
    assert len(getattr(refused.value, "exceptions", [refused.value, refused.value])) >= 2
    with pytest.raises(BadOption, match="missing"):
        measure(cnn(), batches, skip=["missing"])


@pytest.mark.parametrize(("room", "apart"), [(1 << 30, 4), (0, 1)])
def test_without_room_all_classes_share_a_second_moment(cnn, batches, room, apart):
    measured = measure(cnn(), batches, memory=room)
    assert {len(one.groups) for one in measured.statistics.values()} == {apart}
