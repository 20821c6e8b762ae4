"""Unusual models and data: each works, or is refused with the thing, the reason and the way out."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import damp
from damp import errors

PRESETS = pytest.mark.parametrize("preset", ["paper", "mixture"])


@pytest.fixture
def refused(batches):
    """`refused(model, error, *words)`: nothing of the model has changed, and the words are said."""

    def check(model, error, *words, data=None, **options):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(error) as caught:
            damp.forget(model, batches if data is None else data, **({"forget": 1} | options))
        for word in words:
            assert word in str(caught.value)
        assert list(before) == list(model.state_dict())
        for name, value in model.state_dict().items():
            assert value.is_meta or torch.equal(before[name].nan_to_num(), value.nan_to_num())

    return check


def changed(model, edited):
    """Names of tensors that an edit changed or added."""
    before = model.state_dict()
    return {
        name
        for name, value in edited.state_dict().items()
        if name not in before or not torch.equal(value, before[name])
    }


@PRESETS
@pytest.mark.parametrize("alone", [1, 2])
def test_a_class_with_one_sample_is_no_obstacle(cnn, images, split, preset, alone):
    inputs, labels = images
    first = int((labels == alone).nonzero()[0])
    kept = (labels != alone) | (torch.arange(len(labels)) == first)
    edited = damp.forget(cnn(), split(inputs[kept], labels[kept]), forget=1, preset=preset)
    assert edited.operators
    for edit in edited.operators:
        assert all(0 < strength <= 1 for strength in edit.strength)
    assert all(torch.isfinite(value).all() for value in edited.unretired.state_dict().values())


def test_labels_beyond_the_head_are_refused(cnn, refused, images, split):
    inputs, labels = images
    refused(cnn(classes=3), errors.BadBatches, "Labels 3", "3 outputs", "number the classes")
    refused(cnn(), errors.BadBatches, "Labels -1", data=split(inputs, labels - 1))


def test_broken_activations_are_refused_by_the_name_of_the_operator(cnn, refused):
    model = cnn()
    with torch.no_grad():
        model[1].weight[0] = torch.nan
    refused(model, errors.NonFinite, "inputs of 3", "check the inputs and the weights")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused_by_the_name_of_a_parameter(cnn, refused, dtype):
    model = cnn()
    model[7].to(dtype)
    refused(model, errors.Unsupported, "'7.weight'", str(dtype), "model.float()")


def test_a_model_without_values_is_refused(refused):
    with torch.device("meta"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(72, 4))
    refused(model, errors.Unsupported, "'1.weight' has no values", "load the weights")


def test_inputs_are_brought_to_the_model(cnn, images, split):
    inputs, labels = images
    edited = damp.forget(cnn(), split(inputs.double(), labels.to(torch.uint8)), forget=1)
    assert {value.dtype for value in edited.unretired.parameters()} == {torch.float32}


def test_a_device_that_is_not_there_is_refused(cnn, refused):
    refused(cnn(), errors.BadOption, "Device 'cuda:77'", "name another one", device="cuda:77")


class Masked(nn.Module):
    """Wants a mask beside the images."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(72, 4)

    def forward(self, images, mask):
        return self.last((images * mask).flatten(1))


def test_a_forward_with_other_arguments_is_refused_with_the_way_out(refused, batches):
    refused(Masked(), errors.Unsupported, "'mask'", "Wrap it in a module")

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Masked()

        def forward(self, images):
            return self.inner(images, torch.ones(6, 6))

    assert damp.forget(Wrapped(), batches, forget=1).operators[0].name == "inner.last"


def test_images_that_the_model_cannot_take_are_refused(cnn, refused, clouds, split):
    inputs, labels = clouds(0, 4, (3, 6, 6))
    refused(cnn(), errors.Unsupported, "(7, 3, 6, 6)", "Give batches", data=split(inputs, labels))


def test_a_batch_norm_without_running_statistics_is_named_and_left(images, split):
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(),
        nn.Linear(64, 4),
    )  # fmt: skip
    edited = damp.forget(model, split(*images), forget=1)
    assert [edit.name for edit in edited.operators] == ["0", "3"]
    assert [(s.name, "no running statistics" in s.reason) for s in edited.skipped] == [("1", True)]


@pytest.mark.parametrize(
    "parametrize", [parametrizations.weight_norm, parametrizations.spectral_norm]
)
def test_a_parametrised_weight_is_left_with_the_way_out_and_cut_once_it_is_taken(
    batches, parametrize
):
    model = nn.Sequential(nn.Flatten(), parametrize(nn.Linear(72, 8)), nn.ReLU(), nn.Linear(8, 4))
    model.eval()
    edited = damp.forget(model, batches, forget=1)
    (skipped,) = [s for s in edited.skipped if s.name == "1"]
    assert "remove_parametrizations" in skipped.reason
    assert changed(model, edited.unretired) == {"3.weight", "3.bias"}
    nn.utils.parametrize.remove_parametrizations(model[1], "weight")
    assert [edit.name for edit in damp.forget(model, batches, forget=1).operators] == ["1", "3"]


def test_old_weight_norm_that_cannot_be_copied_is_refused_with_the_way_out(refused, images):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the old form is what is tested
        model = nn.Sequential(nn.Flatten(), nn.utils.weight_norm(nn.Linear(72, 8)), nn.Linear(8, 4))
    model(images[0])
    refused(model, errors.Unsupported, "cannot be copied", "Weight norm in its old form")


class Whole(nn.Module):
    """A layer whose weights are whole numbers, as quantising libraries make them."""

    def __init__(self):
        super().__init__()
        codes = torch.randint(-9, 9, (8, 72), dtype=torch.int8)
        self.weight = nn.Parameter(codes, requires_grad=False)

    def forward(self, inputs):
        return nn.functional.linear(inputs, self.weight.float() / 9)


def test_quantised_layers_are_refused_by_name(refused):
    model = nn.Sequential(nn.Flatten(), Whole(), nn.Linear(8, 4))
    refused(model, errors.Unsupported, "'1' (Whole) is quantised", "before it is quantised")


def test_torchs_quantised_layers_are_refused_by_name(refused):
    from torch.ao.nn.quantized import dynamic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that these layers will move elsewhere
        model = nn.Sequential(nn.Flatten(), dynamic.Linear(72, 8), nn.Linear(8, 4))
        before = copy.deepcopy(model[2].state_dict())
        with pytest.raises(errors.Unsupported, match=r"'1' \(Linear\) is quantised"):
            damp.forget(model, [(torch.ones(4, 72), torch.arange(4))], forget=1)
    assert all(torch.equal(before[name], value) for name, value in model[2].state_dict().items())


def test_weights_of_inference_mode_are_cut_and_can_be_trained(cnn, batches, images):
    with torch.inference_mode():
        model = cnn()
        model.load_state_dict({n: v.clone() for n, v in model.state_dict().items()})
        frozen = nn.Sequential(nn.Flatten(), nn.Linear(72, 4))
    assert frozen[1].weight.is_inference()
    for original in (model, frozen):
        edited = damp.forget(original, batches, forget=1).unretired
        edited(images[0]).sum().backward()
        assert all(value.grad is not None for value in edited.parameters())


def test_a_compiled_model_is_refused_with_the_way_out(cnn, refused, batches):
    model = cnn()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        compiled = torch.compile(model, backend="eager")
    refused(compiled, errors.Unsupported, "compiled", "_orig_mod", "compile the result")
    inside = nn.Sequential(cnn(), nn.Identity())
    inside[0].compile(backend="eager")
    refused(inside, errors.Unsupported, "compiled (module '0')")
    assert damp.forget(compiled._orig_mod, batches, forget=1).operators


def test_a_scripted_model_is_refused_with_the_way_out(batches):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that TorchScript is on its way out
        model = nn.Sequential(torch.jit.script(nn.Flatten()), nn.Linear(72, 4))
        with pytest.raises(errors.Unsupported, match=r"scripted \(module '0'\).*script the result"):
            damp.forget(model, batches, forget=1)


def test_a_model_for_several_devices_is_refused_with_the_way_out(cnn, refused, batches):
    refused(nn.DataParallel(cnn()), errors.Unsupported, "several devices", ".module")


def test_frozen_running_statistics_and_rows_of_one_sample_do_no_harm(cnn, images, split):
    """One row per batch: nothing is normalised over it."""
    edited = damp.forget(cnn(), split(*images, 1), forget=1, recalibrate=False)
    whole = damp.forget(cnn(), split(*images, 160), forget=1, recalibrate=False)
    for ours, theirs in zip(
        edited.unretired.parameters(), whole.unretired.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
