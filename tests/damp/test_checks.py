"""Checks before the first cut."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import damp
from damp import errors


def refusal(error, says, model, batches, **options):
    with pytest.raises(error, match=says) as caught:
        damp.forget(model, batches, **options)
    assert isinstance(caught.value, errors.DampError)


@pytest.mark.parametrize("label", [-1, 1.5, "cat", True, None])
def test_what_is_no_class_is_refused(cnn, images, split, label):
    for forget in (label, [1, label]):
        refusal(errors.UnknownClass, "is no class", cnn(), split(*images), forget=forget)


def test_a_class_beyond_the_head_is_refused(cnn, images, split):
    says = "4 outputs and no class 7"
    refusal(errors.UnknownClass, says, cnn(), split(*images), forget=[1, 7])


def test_forgetting_all_classes_is_refused(cnn, images, split):
    refusal(errors.AllClassesForgotten, "keep one", cnn(), split(*images), forget=range(4))


def test_a_class_without_samples_is_refused(cnn, images, split):
    inputs, labels = images
    rows = labels != 1
    batches = split(inputs[rows], labels[rows])
    refusal(errors.NoSamples, "No sample of class 1", cnn(), batches, forget=1)


def test_nothing_to_keep_is_refused(cnn, images, split):
    inputs, labels = images
    rows = labels == 1
    batches = split(inputs[rows], labels[rows])
    refusal(errors.NoSamples, "a class to keep", cnn(), batches, forget=1)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_broken_inputs_are_refused(cnn, images, split, value):
    inputs, labels = images
    inputs[3, 0, 0, 0] = value
    refusal(errors.NonFinite, "inputs of 0, 3, 7", cnn(), split(inputs, labels), forget=1)


def test_broken_weights_are_refused(cnn, images, split):
    model = cnn()
    with torch.no_grad():
        model[7].weight[0, 0] = torch.nan
    refusal(errors.NonFinite, "in the logits", model, split(*images), forget=1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(cnn, images, split, dtype):
    says = r"cut model.float\(\)"
    refusal(errors.Unsupported, says, cnn().to(dtype), split(*images), forget=1)


def test_a_model_without_operators_is_refused(images, split):
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(72))
    refusal(errors.Unsupported, "nothing to cut", model, split(*images), forget=1)


def test_data_that_can_be_read_only_once_is_refused(cnn, images, split):
    refusal(errors.BadBatches, "a list or a DataLoader", cnn(), iter(split(*images)), forget=1)
    refusal(errors.BadBatches, "a list or a DataLoader", cnn(), None, forget=1)


@pytest.mark.parametrize("gain", [0, -1.0, float("nan"), float("inf")])
def test_a_gain_without_meaning_is_refused(cnn, images, split, gain):
    refusal(errors.BadOption, "Gain", cnn(), split(*images), forget=1, gain=gain)


def test_paper_takes_no_gain(cnn, images, split):
    options = {"forget": 1, "gain": 2.0, "preset": "paper"}
    refusal(errors.BadOption, "takes no gain", cnn(), split(*images), **options)


def test_an_unknown_preset_is_refused_with_those_there_are(cnn, images, split):
    says = "take one of paper, mixture"
    refusal(errors.BadOption, says, cnn(), split(*images), forget=1, preset="magic")


def test_a_misspelt_name_in_skip_is_refused(cnn, images, split):
    refusal(errors.BadOption, "no layer fc9", cnn(), split(*images), forget=1, skip=["0", "fc9"])


def test_batches_sorted_by_class_are_refused_where_batch_norms_follow(cnn, images, split):
    inputs, labels = images
    order = labels.argsort()
    batches = split(inputs[order], labels[order], 20)
    refusal(errors.SortedBatches, "shuffle the rows", cnn(), batches, forget=1)
    assert damp.forget(cnn(), batches, forget=1, recalibrate=False).operators
    assert damp.forget(cnn(), batches, forget=1, preset="paper").operators


def test_all_problems_are_reported_together(cnn, images, split):
    with pytest.raises(errors.SeveralProblems) as caught:
        damp.forget(cnn(), split(*images), forget=[1, 9, -2], gain=0, skip=["fc9"])
    assert [type(problem) for problem in caught.value.problems] == [
        errors.UnknownClass,
        errors.BadOption,
        errors.BadOption,
        errors.UnknownClass,
    ]
    assert str(caught.value).startswith("4 problems, nothing was changed:\n- -2 is no class")


def test_unreadable_data_is_not_read_but_reported_with_the_rest(cnn):
    with pytest.raises(errors.SeveralProblems) as caught:
        damp.forget(cnn(), iter([]), forget=1, preset="magic")
    assert [type(problem) for problem in caught.value.problems] == [
        errors.BadOption,
        errors.BadBatches,
    ]


def test_the_tree_in_the_docstring_is_the_tree():
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, ValueError):
            assert issubclass(kind, errors.DampError)
            assert name in errors.__doc__
