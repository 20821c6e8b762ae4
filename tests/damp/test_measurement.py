"""One pass for every request: kept, saved, merged."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import damp
from damp.errors import BadBatches, BadMeasurement, BadOption, NonFinite, Unsupported
from damp.grouping import for_any_request
from damp.measurement import Measurement, Reader, digest, ranges

EVERY = pytest.mark.parametrize(
    ("preset", "forget", "gain"),
    [("mixture", [1], 1.0), ("mixture", [0, 3], 4.0), ("paper", [2], 1.0), ("paper", [1, 2], 1.0)],
)


def assert_same_weights(first, second, **tolerances):
    for (name, ours), theirs in zip(
        first.state_dict().items(), second.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(
            ours, theirs, msg=lambda text, n=name: f"{n}: {text}", **tolerances
        )


@EVERY
def test_one_measurement_serves_every_preset_gain_and_forget_set(
    cnn, batches, preset, forget, gain
):
    model = cnn()
    measured = damp.measure(model, batches)
    options = {"preset": preset, "forget": forget, "gain": gain}
    once = damp.forget(model, batches, measured=measured, **options)
    anew = damp.forget(model, batches, **options)
    assert_same_weights(once.unretired, anew.unretired, rtol=0, atol=1e-6)
    assert once.samples == anew.samples
    assert [edit.name for edit in once.operators] == [edit.name for edit in anew.operators]
    assert {edit.statistics for edit in once.operators} == {"whole"}


def test_no_second_pass_over_the_data_is_needed(cnn, batches):
    model = cnn()
    measured = damp.measure(model, batches)
    options = {"forget": 1, "preset": "mixture", "recalibrate": False}
    edited = damp.forget(model, None, measured=measured, **options)
    expected = damp.forget(model, batches, **options)
    assert_same_weights(edited.unretired, expected.unretired, rtol=0, atol=1e-6)


def test_without_data_batch_norms_cannot_be_re_estimated(cnn, batches):
    measured = damp.measure(cnn(), batches)
    with pytest.raises(BadBatches, match="recalibrate=False"):
        damp.forget(cnn(), None, forget=1, preset="mixture", measured=measured)


def test_a_measurement_survives_the_file(cnn, batches, tmp_path):
    model = cnn()
    measured = damp.measure(model, batches)
    tensors, metadata = measured.to_tensors()
    save_file(tensors, tmp_path / "m.safetensors", metadata)
    loaded = Measurement.from_tensors(load_file(tmp_path / "m.safetensors"), metadata)
    assert loaded.readers == measured.readers
    assert loaded.skipped == measured.skipped
    assert torch.equal(loaded.counts, measured.counts)
    first, second = (
        damp.forget(model, batches, forget=1, measured=each).unretired
        for each in (measured, loaded)
    )
    assert_same_weights(first, second, rtol=0, atol=0)


def test_two_halves_measured_apart_add_up_to_the_whole(cnn, images, split):
    model, (inputs, labels) = cnn().double(), images
    whole = damp.measure(model, split(inputs, labels))
    both = damp.measure(model, split(inputs[:70], labels[:70])).plus(
        damp.measure(model, split(inputs[70:], labels[70:], 9))
    )
    assert both.samples == whole.samples
    for name, sums in whole.statistics.items():
        other = both.statistics[name]
        for classes in ((0, 1, 2, 3), (0, 2)):
            torch.testing.assert_close(
                other.covariance(classes).matrix,
                sums.covariance(classes).matrix,
                rtol=1e-10,
                atol=1e-10,
            )
            torch.testing.assert_close(
                other.prototypes(classes), sums.prototypes(classes), rtol=1e-10, atol=1e-10
            )


def test_the_same_pass_gives_the_same_bits(cnn, batches):
    first, second = (damp.measure(cnn(), batches).to_tensors()[0] for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_measuring_leaves_the_model_and_all_random_states_alone(cnn, batches):
    model = cnn().train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    damp.measure(model, batches)
    assert list(before) == list(model.state_dict())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_memory_for_classes_apart_is_bounded_and_what_is_shared_is_said(cnn, batches):
    model = cnn()
    measured = damp.measure(model, batches, memory=8 * 4 * (2 * 2 + 6 * 6))
    groups = {name: len(sums.groups) for name, sums in measured.statistics.items()}
    assert groups == {"0": 4, "3": 4, "7": 1}
    edited = damp.forget(model, batches, forget=1, measured=measured)
    forms = {edit.name: edit.statistics for edit in edited.operators}
    assert forms == {"0": "whole", "3": "whole", "7": "shared"}
    exact = damp.forget(model, batches, forget=1)
    shared, whole = edited.operators[2], exact.operators[2]
    assert shared.strength[0] == pytest.approx(whole.strength[0], abs=0.05)
    assert shared.strength != whole.strength


def test_the_narrowest_operators_come_first_and_of_equals_the_last(cnn, batches):
    from damp.operators import find
    from damp.tracing import trace

    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(2, 3))
    traced = trace(model, find(model)[0], torch.randn(8, 4))
    input_groups = list(traced.uses.values())
    one = 8 * 3 * 16
    sizes = for_any_request(one + 8 * 3 * 4)(input_groups, 3)
    assert {name: len(groups) for name, groups in sizes.items()} == {"0": 1, "1": 1, "2": 3, "3": 3}


def test_statistics_of_other_weights_are_refused(cnn, batches):
    measured = damp.measure(cnn(0), batches)
    with pytest.raises(BadMeasurement, match="other weights"):
        damp.forget(cnn(1), batches, forget=1, measured=measured)


def test_statistics_of_another_architecture_are_refused(cnn, batches):
    measured = damp.measure(cnn(), batches)
    other = nn.Sequential(nn.Flatten(), nn.Linear(72, 4))
    with pytest.raises(BadMeasurement, match="another architecture"):
        damp.forget(other, batches, forget=1, measured=measured)


def test_sequential_surgery_takes_no_statistics_from_elsewhere(cnn, batches):
    measured = damp.measure(cnn(), batches)
    with pytest.raises(BadOption, match="leave `measured` out"):
        damp.forget(cnn(), batches, forget=1, measured=measured, sequential=True)


def test_measurements_of_different_models_do_not_add_up(cnn, batches):
    with pytest.raises(BadMeasurement, match="different models"):
        damp.measure(cnn(0), batches).plus(damp.measure(cnn(1), batches))


def test_measurements_that_keep_classes_apart_differently_do_not_add_up(cnn, batches):
    with pytest.raises(BadMeasurement, match="same `memory`"):
        damp.measure(cnn(), batches).plus(damp.measure(cnn(), batches, memory=0))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors, text: (tensors, {}),
        lambda tensors, text: (tensors, {"damp": "{}"}),
        lambda tensors, text: (tensors, {"damp": "[1]"}),
        lambda tensors, text: (tensors, {"damp": "no json"}),
        lambda tensors, text: ({}, text),
        lambda tensors, text: (tensors, {"damp": text["damp"].replace("ment-1", "ment-9")}),
        lambda tensors, text: ({n: t for n, t in tensors.items() if n != "0.pivot"}, text),
        lambda tensors, text: (tensors | {"0.gram": torch.zeros(1)}, text),
    ],
)
def test_what_is_no_measurement_is_refused(cnn, batches, spoil):
    tensors, metadata = damp.measure(cnn(), batches).to_tensors()
    with pytest.raises(BadMeasurement, match="measure again"):
        Measurement.from_tensors(*spoil(tensors, metadata))


def test_measuring_checks_before_it_runs(cnn, images, split):
    with pytest.raises(Unsupported, match="nothing to cut"):
        damp.measure(nn.Flatten(), split(*images))
    with pytest.raises(BadBatches, match="only once"):
        damp.measure(cnn(), iter(split(*images)))
    with pytest.raises(BadOption, match="no layer fc9"):
        damp.measure(cnn(), split(*images), skip=["fc9"])
    with pytest.raises(BadOption, match="Device 'cuda:99' cannot be used"):
        damp.measure(cnn(), split(*images), device="cuda:99")
    inputs, labels = images
    with pytest.raises(NonFinite, match="inputs of 0"):
        damp.measure(cnn(), split(inputs / 0, labels))


def test_flags_are_stored_as_ranges():
    assert ranges([]) == ()
    assert ranges([False, True, True, False, True]) == ((1, 3), (4, 5))


def test_the_digest_names_weights_types_and_shapes():
    model = nn.Linear(3, 2)
    first = digest(model)
    assert digest(copy.deepcopy(model)) == first
    assert digest(copy.deepcopy(model).double()) != first
    with torch.no_grad():
        model.bias[1] += 1
    assert digest(model) != first


def test_a_bias_that_misses_an_output_is_not_fully_applied():
    def reader(*applied):
        return Reader(name="a", kind="Linear", input_group="a", bias_applied=applied, outputs=4)

    assert reader((0, 4)).bias_fully_applied
    for applied in ((1, 4),), ((0, 3),), (), ((0, 1), (2, 4)):
        assert not reader(*applied).bias_fully_applied
    assert reader((1, 4)).bias_not_applied == ((0, 1),)
    assert reader((0, 1), (2, 4)).bias_not_applied == ((1, 2),)
    assert reader((0, 1), (2, 4)).bias_mask().tolist() == [True, False, True, True]
