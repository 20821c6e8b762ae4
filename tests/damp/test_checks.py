"""Checks before the first cut."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import damp
from damp import checks, errors
from damp.measurement import Measurement
from damp.operators import find


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


@pytest.mark.parametrize(
    ("forget", "numbers", "wrong"),
    [
        ([8, 3, 8], (3, 8), 0),
        (0, (0,), 0),
        (torch.tensor(2), (2,), 0),
        ({1: "a"}, (1,), 0),
        ("12", (), 1),
        ([True, 1], (1,), 1),
        ([-1, 0], (0,), 1),
        ([1.0, None, "1"], (), 3),
        ([], (), 0),
    ],
)
def test_whole_numbers_from_0_on_are_classes(forget, numbers, wrong):
    if isinstance(forget, torch.Tensor):
        forget = forget.item()
    parsed, problems = checks.parse_classes(forget)
    assert parsed == numbers
    assert [type(p) for p in problems] == [errors.UnknownClass] * wrong


@pytest.mark.parametrize(
    ("preset", "gain", "device", "words"),
    [
        ("mixture", 1.0, None, []),
        ("mixture", 0.5, "cpu", []),
        ("mixture", 1e-9, None, []),
        ("mixture", 0.0, None, ["Gain 0.0 is no finite"]),
        ("paper", 1.0, None, []),
        ("paper", 2.0, None, ["'paper' takes no gain"]),
        ("natural", 0.5, None, ["'natural' takes no gain: leave it at 1 or take 'mended'"]),
        ("magic", 2.0, None, ["Preset 'magic' is unknown"]),
        ("magic", -1.0, None, ["Preset 'magic' is unknown", "Gain -1.0"]),
        ("mixture", 1.0, "nowhere", ["Device 'nowhere' cannot be used"]),
        ("mixture", 1.0, torch.device("cpu"), []),
    ],
)
def test_every_setting_is_checked_by_itself(preset, gain, device, words):
    problems = list(checks.option_problems(preset, gain, device))
    assert len(problems) == len(words)
    assert all(isinstance(p, errors.BadOption) for p in problems)
    assert all(str(p).startswith(("Preset", "Gain", "Device")) for p in problems)
    assert all(word in str(p) for word, p in zip(words, problems, strict=True))


def test_where_no_device_is_named_none_is_tried(monkeypatch):
    tried = []
    monkeypatch.setattr(checks, "device_problems", lambda device: tried.append(device) or [])
    list(checks.option_problems("mixture", 1.0, None))
    assert tried == []
    list(checks.option_problems("mixture", 1.0, "cpu"))
    assert tried == ["cpu"]


def test_the_reason_of_a_device_is_the_first_line_of_torchs():
    (problem,) = checks.device_problems("nowhere")
    try:
        torch.zeros(1, device="nowhere")
    except RuntimeError as error:
        first = str(error).splitlines()[0]
    assert f"cannot be used ({first}): name another one." in str(problem)


@pytest.mark.parametrize(
    ("repair", "preset", "expected"),
    [
        ("head_refit", "mended", True),
        ("head_refit", "paper", False),
        ("recalibrate", "mixture", True),
        ("recalibrate", "no such preset", False),
    ],
)
def test_a_repair_is_part_of_a_preset_or_not(repair, preset, expected):
    assert checks.applies(repair, preset) is expected


def test_names_of_modules_and_of_operators_can_be_skipped():
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2), "head": nn.Linear(4, 3)})
    operators = [operator.name for operator in find(model)[0]]
    assert any(name not in dict(model.named_modules()) for name in operators)
    assert list(checks.skip_problems(model, ["head", "attention", *operators])) == []
    (problem,) = checks.skip_problems(model, ["head", "tail", "feet"])
    assert "no layer tail, feet" in str(problem)


class Whole(nn.Module):
    """A layer that keeps numbers of some type and shape."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(value, requires_grad=False)
        self.register_parameter("none", None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (torch.ones(2, 2, dtype=torch.int8), True),
        (torch.ones(2, dtype=torch.int8), False),
        (torch.ones(2, 2), False),
        (torch.ones(2, 2, 2, dtype=torch.int64), True),
    ],
)
def test_whole_numbers_of_two_axes_are_a_quantised_weight(value, expected):
    assert checks._is_quantised(Whole(value)) is expected


def test_a_layer_of_torchs_quantised_modules_is_one():
    class Layer(nn.Module):
        pass

    assert not checks._is_quantised(Layer())
    Layer.__module__ = "torch.ao.nn.quantized.modules.linear"
    assert checks._is_quantised(Layer())


def compiled():
    model = nn.Linear(2, 2)
    model._compiled_call_impl = lambda *_: None
    return model


class Wrapped(nn.Module):
    """As torch.compile leaves a module."""

    def __init__(self):
        super().__init__()
        self._orig_mod = nn.Linear(2, 2)


def typed(value):
    model = nn.Linear(2, 2)
    model.extra = nn.Parameter(value, requires_grad=False)
    return model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Linear(2, 2), ""),
        (compiled, "is compiled (module itself)"),
        (lambda: nn.Sequential(compiled()), "is compiled (module '0')"),
        (Wrapped, "is compiled"),
        (lambda: torch.jit.script(nn.Linear(2, 2)), "is scripted"),
        (lambda: nn.DataParallel(nn.Linear(2, 2)), "wrapped for several devices"),
        (lambda: nn.Sequential(nn.Linear(2, 2), Whole(torch.ones(2, 2).int())), "quantised"),
        (lambda: nn.Linear(2, 2, device="meta"), "has no values"),
        (lambda: nn.Linear(2, 2).half(), "is torch.float16"),
        (lambda: nn.Linear(2, 2).bfloat16(), "is torch.bfloat16"),
        (lambda: nn.Linear(2, 2).double(), ""),
        (lambda: typed(torch.ones(2).long()), ""),
        (lambda: typed(torch.ones(2).half()), "'extra' is torch.float16"),
        (nn.ReLU, "nothing to cut"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_model_shows_one_problem_of_its_form_or_weights(make, words):
    problems = checks.model_problems(make())
    assert len(problems) == bool(words)
    assert all(isinstance(p, errors.Unsupported) for p in problems)
    assert all(words in str(p) for p in problems)


@pytest.mark.parametrize(
    ("problem", "forbids"),
    [
        (errors.Unsupported("x"), True),
        (errors.BadBatches("x"), True),
        (errors.BadMeasurement("x"), True),
        (errors.BadOption("Device 'x' cannot be used"), True),
        (errors.BadOption("Gain 0"), False),
        (errors.UnknownClass("Device"), False),
    ],
)
def test_some_problems_forbid_to_read_the_data(problem, forbids):
    assert checks.forbids_reading([errors.UnknownClass("x"), problem]) is forbids
    assert not checks.forbids_reading([])


@pytest.fixture
def measured(cnn, images, split):
    return damp.measure(cnn(), split(*images))


@pytest.mark.parametrize(
    ("given", "preset", "sequential", "norms", "kinds"),
    [
        ("batches", "mixture", False, True, []),
        ("nothing", "mixture", False, False, [errors.BadBatches]),
        ("measured", "mixture", False, False, []),
        ("measured", "mixture", False, True, [errors.BadBatches]),
        ("measured", "mended", False, False, [errors.BadBatches]),
        ("measured", "mixture", True, False, [errors.BadOption]),
        ("both", "mended", False, True, []),
        ("both", "mixture", True, True, [errors.BadOption]),
        ("batches", "mixture", True, True, []),
    ],
)
def test_what_a_request_needs_of_data_and_statistics(
    cnn, images, split, measured, given, preset, sequential, norms, kinds
):
    batches = split(*images) if given in ("batches", "both") else None
    problems = checks.data_problems(
        cnn(),
        batches,
        measured if given in ("measured", "both") else None,
        preset=preset,
        sequential=sequential,
        norms=norms,
    )
    assert [type(p) for p in problems] == kinds


@pytest.mark.parametrize(
    ("batches", "refused"),
    [([], False), ((), False), (iter([]), True), (5, True), (None, True), (range(3), False)],
)
def test_batches_can_be_read_more_than_once(batches, refused):
    assert len(list(checks.batch_problems(batches))) == refused


def test_statistics_are_of_the_very_weights(cnn, measured):
    model = cnn()
    assert list(checks.measurement_problems(model, measured)) == []
    (problem,) = checks.measurement_problems(cnn(seed=1), measured)
    assert "taken with other weights" in str(problem)
    (problem,) = checks.measurement_problems(nn.Sequential(nn.Linear(2, 2)), measured)
    assert "another architecture: the model has no '3'" in str(problem)


def counted(*counts, together=None):
    """A measurement of so many samples per class."""
    numbers = torch.tensor(counts)
    pairs = torch.outer(numbers, numbers) if together is None else torch.tensor(together)
    return Measurement(
        counts=numbers,
        together=pairs.double(),
        statistics={},
        readers=(),
        skipped=(),
        weights="",
    )


@pytest.mark.parametrize(
    ("counts", "forget", "retired", "kinds"),
    [
        ((5, 5, 5), (1,), (), []),
        ((5, 5, 5), (2,), (0,), []),
        ((5, 5, 5), (3,), (), [errors.UnknownClass]),
        ((5, 5, 5), (1,), (1,), [errors.UnknownClass]),
        ((5, 5, 5), (0, 1, 2), (), [errors.AllClassesForgotten]),
        ((5, 5, 5), (0, 1), (2,), [errors.AllClassesForgotten]),
        ((5, 0, 5), (1,), (), [errors.NoSamples]),
        ((0, 5, 0), (1,), (), [errors.NoSamples]),
        ((5, 0, 5), (0,), (), []),
        ((5, 0, 5), (1,), (1,), [errors.UnknownClass]),
        ((0, 0, 5), (1, 4), (), [errors.UnknownClass, errors.NoSamples]),
    ],
)
def test_the_classes_of_a_request_are_there_and_have_samples(counts, forget, retired, kinds):
    problems = checks.count_problems(counted(*counts), forget, retired)
    assert [type(p) for p in problems] == kinds


@pytest.mark.parametrize(
    ("counts", "pure", "sorted_"),
    [
        ((4, 4, 4, 4), 1.0, True),
        ((4, 4, 4, 4), 0.81, True),
        ((4, 4, 4, 4), 0.8, False),
        ((4, 4, 4, 8), 1.0, False),
        ((99, 4, 4, 4), 1.0, True),
        ((4, 4, 4, 7), 1.0, True),
        ((4, 0, 0, 0), 1.0, False),
    ],
)
def test_batches_of_one_class_each_are_sorted_unless_one_class_has_half(counts, pure, sorted_):
    """Of the classes to keep, 1 to 3; `pure` is the share of pairs that are of one class."""
    size = len(counts)
    apart = (1 - pure) / (size - 2)
    pairs = torch.full((size, size), apart).fill_diagonal_(pure).tolist()
    problems = list(checks.order_problems(counted(*counts, together=pairs), (0,)))
    assert bool(problems) is sorted_
