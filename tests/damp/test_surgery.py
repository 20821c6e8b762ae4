"""Forgetting, from end to end."""

from __future__ import annotations

import copy
import dataclasses
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import damp
from damp import natural_edit, surgery
from damp.operators import find

PRESETS = pytest.mark.parametrize("preset", ["paper", "mixture"])


def same(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def accuracies(model, inputs, labels, forget):
    """Share of correct answers on the classes to forget, and on the others."""
    with torch.no_grad():
        correct = (model(inputs).argmax(1) == labels).double()
    cut = torch.isin(labels, torch.tensor(forget))
    return float(correct[cut].mean()), float(correct[~cut].mean())


@pytest.mark.parametrize("forget", [[3], [8], [1, 6]])
@pytest.mark.parametrize("sequential", [False, True])
def test_digits_are_forgotten_and_the_others_kept(digits, digit_net, split, forget, sequential):
    training, test = digits
    edited = damp.forget(digit_net, split(*training, 100), forget=forget, sequential=sequential)
    before, kept_before = accuracies(digit_net, *test, forget)
    after, kept = accuracies(edited.unretired, *test, forget)
    assert before > 0.9
    assert after < 0.3
    assert kept > kept_before - 0.06
    assert accuracies(edited.model, *test, forget)[0] == 0


def test_mixture_cuts_deeper_where_the_class_is_easier_to_tell(digits, digit_net, split):
    edited = damp.forget(digit_net, split(*digits[0], 100), forget=3, preset="mixture")
    strengths = {edit.name: edit.strength[0] for edit in edited.operators}
    assert strengths["0"] < 0.3 < strengths["4"] < strengths["11"]
    assert strengths["11"] > 0.9


@PRESETS
@pytest.mark.parametrize("sequential", [False, True])
def test_the_model_that_is_passed_stays_bit_identical(cnn, batches, preset, sequential):
    model = cnn().train()
    model[1].eval()
    before = copy.deepcopy(model)
    edited = damp.forget(model, batches, forget=1, preset=preset, sequential=sequential)
    assert same(model, before)
    assert model[0].bias is None
    for layer, old, new in zip(
        model.modules(), before.modules(), edited.unretired.modules(), strict=True
    ):
        assert layer.training == old.training == new.training
        assert not layer._forward_pre_hooks
        assert not layer._forward_hooks
        assert not new._forward_pre_hooks
    assert all(value.grad is None for value in model.parameters())


@PRESETS
def test_no_class_to_forget_gives_the_same_model_back(cnn, batches, preset):
    model = cnn()
    edited = damp.forget(model, batches, forget=[], preset=preset)
    assert same(edited.unretired, model)
    assert edited.operators == edited.recalibrated == edited.forget == ()
    assert {skipped.reason for skipped in edited.skipped} == {"there is no class to forget"}


def test_paper_gives_the_same_model_back_where_retain_classes_fill_the_space(clouds, split):
    inputs, labels = clouds(0, 12, (5,))
    model = nn.Linear(5, 12).double()
    edited = damp.forget(model, split(inputs, labels), forget=1, preset="paper")
    assert same(edited.unretired, model)
    assert "not above the gate" in edited.skipped[0].reason


def test_mixture_gives_the_same_model_back_where_a_mixture_is_the_class(seeded):
    generator = torch.Generator().manual_seed(0)
    corners = torch.randn(3, 5, generator=generator).repeat(8, 1)
    noise = torch.randn(24, 5, generator=generator)
    noise -= torch.stack([noise[row::3].mean(0) for row in range(3)]).repeat(8, 1)
    inputs = torch.cat([corners + noise, corners])
    labels = torch.cat([torch.arange(24) % 3, torch.full((24,), 3)])
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 4)))
    edited = damp.forget(model, [(inputs, labels)], forget=3)
    assert same(edited.unretired, model)
    assert [skipped.name for skipped in edited.skipped] == ["0", "2"]
    assert edited.recalibrated == ()


@PRESETS
def test_splitting_the_data_in_other_batches_gives_the_same_edit(cnn, images, split, preset):
    first, second = (
        damp.forget(cnn(), split(*images, size), forget=1, preset=preset, recalibrate=False)
        for size in (160, 7)
    )
    for ours, theirs in zip(
        first.unretired.parameters(), second.unretired.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@PRESETS
def test_a_float32_model_is_edited_as_a_float64_one(cnn, batches, preset):
    single, double = cnn(), cnn().double()
    first = damp.forget(single, batches, forget=[1, 2], preset=preset).unretired
    second = damp.forget(double, batches, forget=[1, 2], preset=preset).unretired
    assert {value.dtype for value in first.parameters()} == {torch.float32}
    assert {value.dtype for value in second.parameters()} == {torch.float64}
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-5)


def test_one_shot_edits_take_all_statistics_from_the_original(cnn, batches):
    model = cnn()
    options = {"forget": 1, "preset": "mixture", "recalibrate": False}
    whole = damp.forget(model, batches, **options).unretired
    alone = damp.forget(model, batches, skip=["0", "3"], **options).unretired
    torch.testing.assert_close(whole[7].weight, alone[7].weight, rtol=0, atol=0)


def test_sequential_edits_take_the_statistics_anew(cnn, batches):
    model = cnn()
    options = {"forget": 1, "preset": "mixture", "recalibrate": False}
    first = damp.forget(model, batches, skip=["3", "7"], **options).unretired
    second = damp.forget(first, batches, skip=["0", "7"], **options).unretired
    third = damp.forget(second, batches, skip=["0", "3"], **options).unretired
    edited = damp.forget(model, batches, sequential=True, **options)
    for ours, theirs in zip(edited.unretired.parameters(), third.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert edited.sequential


def test_the_report_tells_what_was_done(cnn, batches):
    edited = damp.forget(cnn(), batches, forget=[2, 1], preset="mended", gain=2.0)
    assert [(edit.name, edit.kind) for edit in edited.operators] == [
        ("0", "Conv2d"),
        ("3", "Conv2d"),
        ("7", "Linear"),
    ]
    for edit in edited.operators:
        assert len(edit.strength) == len(edit.separability) <= 2
        assert all(0 < strength < 1 for strength in edit.strength)
        assert edit.relative_change > 0
        assert edit.residual > 1e-3
    assert edited.forget == (1, 2)
    assert (edited.classes, edited.samples, edited.gain) == (4, 160, 2.0)
    assert edited.recalibrated == ("1", "4")
    assert edited.preset == "mended"
    assert edited.model.model is edited.unretired
    with pytest.raises(dataclasses.FrozenInstanceError):
        edited.gain = 1.0


def test_outputs_are_not_retired_when_that_is_declined(cnn, batches):
    edited = damp.forget(cnn(), batches, forget=1, retire=False)
    assert edited.model is edited.unretired


def test_paper_touches_neither_biases_nor_batch_norms(cnn, batches):
    model = cnn(bias=True)
    edited = damp.forget(model, batches, forget=1, preset="paper").unretired
    changed = {
        name
        for (name, ours), theirs in zip(
            edited.state_dict().items(), model.state_dict().values(), strict=True
        )
        if not torch.equal(ours, theirs)
    }
    assert changed == {"3.weight", "7.weight"}


def test_the_strength_of_paper_is_separability_times_ramp(cnn, batches):
    edited = damp.forget(cnn(), batches, forget=1, preset="paper", ramp=lambda at, of: at / of)
    positions = {"3": 1, "7": 2}
    for edit in edited.operators:
        expected = edit.separability[0] * positions[edit.name] / 3
        assert edit.strength == pytest.approx((expected,))


@pytest.mark.parametrize("recalibrated", [True, False])
def test_recalibration_can_be_asked_for_or_declined(cnn, batches, recalibrated):
    for preset in ("paper", "mixture"):
        edited = damp.forget(cnn(), batches, forget=1, preset=preset, recalibrate=recalibrated)
        assert bool(edited.recalibrated) == recalibrated


def test_layers_in_skip_stay_with_all_that_is_inside_them(images, split):
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3)), nn.Flatten(), nn.Linear(16, 4)
    )
    edited = damp.forget(model, split(*images), forget=1, skip=["0"])
    assert [edit.name for edit in edited.operators] == ["2"]
    assert [(s.name, s.reason) for s in edited.skipped] == [
        ("0.0", "it is named in `skip`"),
        ("0.1", "it is named in `skip`"),
    ]
    assert same(edited.unretired[0], model[0])


class Mixed(nn.Module):
    """Attention, and layers of every kind that is left alone."""

    def __init__(self):
        super().__init__()
        self.attention = nn.TransformerEncoderLayer(8, 2, 16, 0.0)
        self.depthwise = nn.Conv1d(8, 8, 3, groups=8)
        self.both = nn.Bilinear(8, 8, 8)
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)
        self.unused = nn.Linear(8, 8)
        self.scores = nn.Linear(8, 8)
        self.table = nn.Linear(3, 8)
        self.last = nn.Linear(8, 4)

    def forward(self, tokens):
        attended = self.attention(tokens.transpose(0, 1)).transpose(0, 1)
        mixed = self.norm(self.depthwise(attended.mT)).mean(-1)
        mixed = mixed + self.table(torch.arange(3.0)) + self.both(mixed, mixed)
        return self.last(mixed + nn.functional.linear(mixed, self.scores.weight.softmax(1)))


def test_what_cannot_be_cut_is_named_and_stays(clouds, split):
    inputs, labels = clouds(0, 4, (6, 8))
    model = Mixed()
    edited = damp.forget(model, split(inputs.float(), labels), forget=1)
    assert [edit.name for edit in edited.operators] == [
        "attention.self_attn.q_proj",
        "attention.self_attn.k_proj",
        "attention.self_attn.v_proj",
        "attention.self_attn.out_proj",
        "attention.linear1",
        "attention.linear2",
        "last",
    ]
    reasons = {skipped.name: skipped.reason for skipped in edited.skipped}
    for name, says in {
        "depthwise": "mixes no channels",
        "both": "of a kind that is not supported",
        "norm": "no running statistics",
        "unused": "never called",
        "scores": "used by `softmax` too",
        "table": "does not depend on the images",
    }.items():
        assert says in reasons.pop(name)
        assert same(edited.unretired.get_submodule(name), model.get_submodule(name))
    assert reasons == {}


def test_random_states_are_put_back(cnn, images):
    loader = DataLoader(TensorDataset(*images), batch_size=32, shuffle=True)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    python_state = random.getstate()
    damp.forget(cnn(), loader, forget=1)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert random.getstate() == python_state


def test_it_works_under_inference_mode_and_gives_trainable_weights(cnn, images, split):
    with torch.inference_mode():
        batches = split(*(part.clone() for part in images))
        edited = damp.forget(cnn(), batches, forget=1).unretired
    edited(images[0]).sum().backward()
    assert all(value.grad is not None for value in edited.parameters())


def test_frozen_weights_stay_frozen(cnn, batches):
    model = cnn().requires_grad_(False)
    edited = damp.forget(model, batches, forget=1).unretired
    assert not any(value.requires_grad for value in edited.parameters())


def test_the_result_is_where_the_model_is(cnn, batches):
    edited = damp.forget(cnn(), batches, forget=1, device="cpu")
    assert {value.device.type for value in edited.unretired.parameters()} == {"cpu"}


def test_numpy_integers_are_classes(cnn, batches):
    assert damp.forget(cnn(), batches, forget=np.int64(1)).forget == (1,)
    assert damp.forget(cnn(), batches, forget=np.array([2, 1])).forget == (1, 2)
    assert damp.forget(cnn(), batches, forget=torch.tensor([3])).forget == (3,)


def test_the_same_call_gives_the_same_bits(cnn, batches):
    first, second = (damp.forget(cnn(), batches, forget=1).unretired for _ in range(2))
    assert same(first, second)


def test_a_second_request_goes_on_from_the_first(digits, digit_net, split):
    training, test = digits
    batches = split(*training, 100)
    first = damp.forget(digit_net, batches, forget=3)
    second = damp.forget(first.model, batches, forget=8)
    once = damp.forget(digit_net, batches, forget=[3, 8])
    assert second.samples == int((training[1] != 3).sum())
    assert second.forget == (8,)
    assert second.model.classes == (3, 8)
    one, both = (accuracies(edited.unretired, *test, [3, 8]) for edited in (second, once))
    assert one[0] < 0.3
    assert abs(one[0] - both[0]) < 0.2
    assert one[1] == pytest.approx(both[1], abs=0.03)
    assert accuracies(second.model, *test, [3, 8])[0] == 0


def test_a_class_that_was_forgotten_before_is_not_forgotten_again(cnn, batches):
    first = damp.forget(cnn(), batches, forget=1)
    with pytest.raises(damp.errors.UnknownClass, match="forgotten and retired before"):
        damp.forget(first.model, batches, forget=[1, 2])
    with pytest.raises(damp.errors.AllClassesForgotten):
        damp.forget(first.model, batches, forget=[0, 2, 3])


def test_samples_of_a_class_that_is_gone_have_no_part_in_the_next_edit(cnn, images, split):
    inputs, labels = images
    first = damp.forget(cnn(), split(inputs, labels), forget=1)
    spoilt = inputs.clone()
    spoilt[labels == 1] = 100
    one, other = (
        damp.forget(first.model, split(rows, labels), forget=2) for rows in (inputs, spoilt)
    )
    assert same(one.unretired, other.unretired)


def test_requests_one_after_the_other_leave_the_last_class(cnn, clouds, split):
    inputs, labels = clouds(0, 4, (2, 6, 6))
    batches, model = split(inputs.float(), labels), cnn()
    for label in (2, 0, 3):
        edited = damp.forget(model, batches, forget=label)
        model = edited.model
    assert model.classes == (0, 2, 3)
    assert set(model(inputs.float()).argmax(1).tolist()) == {1}
    assert not any(isinstance(layer, damp.RetiredOutputs) for layer in model.model.modules())


class HalfBiased(nn.Linear):
    """A layer that the model adds only some of its biases of."""

    def __init__(self, kept):
        super().__init__(6, 4)
        self.kept = kept

    def forward(self, inputs):
        bias = self.bias.clone()
        bias[self.kept :] = 0
        return nn.functional.linear(inputs, self.weight, bias)


@pytest.mark.parametrize(
    ("kept", "preset", "words"),
    [
        (0, "mixture", "its bias is not applied unmodified in forward()"),
        (2, "mixture", "its outputs 2 to 3 stay: their bias is not applied unmodified"),
        (4, "mixture", ""),
        # what is cut about 0 leaves biases alone
        (0, "paper", ""),
        (2, "paper", ""),
    ],
)
def test_outputs_stay_where_an_edit_needs_a_bias_that_is_not_applied(
    clouds, split, kept, preset, words
):
    inputs, labels = clouds()
    model = HalfBiased(kept).double()
    ramp = {"ramp": lambda at, of: 1.0}
    edited = damp.forget(model, split(inputs, labels), forget=1, preset=preset, **ramp)
    assert [skipped.reason.startswith(words) for skipped in edited.skipped] == [True] * bool(words)
    changed = (edited.unretired.weight != model.weight).any(1).tolist()
    stays = 4 - kept if words else 0
    assert changed == [True] * (4 - stays) + [False] * stays
    assert bool(edited.operators) is any(changed)


@pytest.fixture
def layered(seeded):
    """Three linear layers with rectifiers in between, for inputs (B, 6)."""
    body = (nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 4))
    return seeded(lambda: nn.Sequential(*body)).double().eval()


def moved(before, after):
    return float(((after - before).norm() / before.norm()).detach())


@pytest.mark.parametrize(
    ("preset", "rewritten", "mended"),
    [("mixture", None, None), ("mended", None, "4"), ("rewritten", "2", "4")],
)
@pytest.mark.parametrize("given", [False, True])
def test_each_repair_is_told_by_the_layer_that_it_changed(
    layered, clouds, split, preset, rewritten, mended, given
):
    batches = split(*clouds())
    measured = damp.measure(layered, batches) if given else None
    edited = damp.forget(layered, batches, forget=1, preset=preset, measured=measured)
    assert (edited.rewritten, edited.mended) == (rewritten, mended)
    assert (edited.stand_in, edited.stand_in_reason, edited.natural) == (None, None, None)
    assert edited.skipped == ()
    repairs = (("low_rank_update", rewritten), ("head_refit", mended))
    assert edited.repairs == tuple((name, layer) for name, layer in repairs if layer)
    gain = 0.1 if rewritten else 1.0
    light = damp.forget(
        layered, batches, forget=1, preset="mixture", gain=gain, measured=measured
    ).unretired
    own = edited.unretired
    assert torch.equal(own[0].weight, light[0].weight)
    assert torch.equal(own[2].weight, light[2].weight) is (rewritten is None)
    assert torch.equal(own[4].weight, light[4].weight) is (mended is None)
    # how far a layer has moved is that of the cut and the update together; of a head, of its cut
    changes = {edit.name: edit.relative_change for edit in edited.operators}
    assert changes["2"] == pytest.approx(moved(layered[2].weight, own[2].weight))
    assert changes["4"] == pytest.approx(moved(layered[4].weight, light[4].weight))
    assert [edit.name for edit in edited.operators] == ["0", "2", "4"]


def test_a_head_that_is_skipped_is_listed_once_and_not_refitted(layered, clouds, split):
    batches = split(*clouds())
    named = ("4", "it is named in `skip`")
    other = ("2", "the head is not refitted: what it gives are not the logits themselves")
    for skipped, reasons in ((None, [named, other]), ([], [named]), (["4"], [named, other])):
        # statistics that list it too, that hold it, and none
        measured = None if skipped is None else damp.measure(layered, batches, skip=skipped)
        edited = damp.forget(
            layered, batches, forget=1, preset="mended", skip=["4"], measured=measured
        )
        assert edited.mended is None
        assert [(s.name, s.reason) for s in edited.skipped] == reasons
        assert [edit.name for edit in edited.operators] == ["0", "2"]
        assert torch.equal(edited.unretired[4].weight, layered[4].weight)


def test_another_preset_that_stands_in_repairs_as_it_would_by_itself(cnn, batches):
    """The head reads no pooled sum: the preset that its row names does the work, norms as well."""
    edited = damp.forget(cnn(), batches, forget=1, preset="natural")
    other = damp.forget(cnn(), batches, forget=1, preset="mended")
    assert same(edited.unretired, other.unretired)
    assert (edited.stand_in, edited.preset) == ("mended", "natural")
    assert "does not read the pooled output" in edited.stand_in_reason
    assert edited.natural is None
    assert edited.recalibrated == other.recalibrated == ("1", "4")
    assert (edited.mended, edited.rewritten) == (other.mended, None) == ("7", None)
    assert [edit.name for edit in edited.operators] == ["0", "3", "7"]
    assert edited.samples == other.samples == 160


def natural_of(*depths):
    return natural_edit.NaturalEdit(depths=depths, head="4", rows=9, passes=1)


def depth(layers, before, after, *, changed=True):
    return natural_edit.NaturalDepth(
        layers=layers,
        before=before,
        goal=before,
        after=after,
        noise=before,
        residual=0.25,
        changed=changed,
    )


def test_what_was_written_is_told_as_the_share_of_separability_that_is_gone(layered):
    """None where there was nothing, none where it grew, all where it turned about."""
    model = copy.deepcopy(layered)
    with torch.no_grad():
        model[2].weight.mul_(1.5)
        model[4].weight.mul_(3.0)
    edit = SimpleNamespace(
        original=layered, model=model, operators={op.name: op for op in find(model)[0]}
    )
    depths = (
        depth(("0",), (1.0,), (0.5,), changed=False),
        depth(("2",), (4.0, 0.0, 2.0, 1.0, 0.5), (1.0, 1.0, 3.0, -1.0, 0.5)),
    )
    with torch.no_grad():
        writer, head = surgery._natural_edits(edit, natural_of(*depths))
    assert (writer.name, head.name) == ("2", "4")
    assert (writer.kind, head.kind) == ("Linear", "Linear")
    for each in (writer, head):  # the head's are those of the last depth
        assert each.strength == (0.75, 0.0, 0.0, 1.0, 0.0)
        assert each.separability == (16.0, 0.0, 4.0, 1.0, 0.25)
        assert (each.residual, each.statistics) == (0.25, "capped")
    assert writer.relative_change == pytest.approx(0.5)
    assert head.relative_change == pytest.approx(2.0)


def test_writing_against_a_class_is_told_by_its_layers_and_takes_its_rows_on_any_pass(
    layered, clouds, split
):
    inputs, labels = clouds()
    batches, layered = split(inputs.float(), labels), layered.float()
    measured = damp.measure(layered, batches)
    edits = [
        damp.forget(layered, batches, forget=1, preset="natural", measured=given)
        for given in (None, measured)
    ]
    for edited in edits:
        assert (edited.stand_in, edited.stand_in_reason, edited.rewritten) == (None, None, None)
        assert edited.natural.rows == edited.samples == 160
        (depth,) = edited.natural.depths
        assert (depth.layers, edited.natural.head, edited.mended) == (("2",), "4", "4")
        assert [edit.name for edit in edited.operators] == ["2", "4"]
        own = edited.unretired
        assert torch.equal(own[0].weight, layered[0].weight)
        for edit, place in zip(edited.operators, (2, 4), strict=True):
            expected = moved(layered[place].weight, own[place].weight)
            assert edit.relative_change == pytest.approx(expected)
    one, other = (edited.unretired for edited in edits)
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4)
    # without data nothing is written: it is refused before
    with pytest.raises(damp.errors.BadBatches):
        damp.forget(layered, None, forget=1, preset="natural", measured=measured)
