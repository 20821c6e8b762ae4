"""The one interface: what a method is given, what is counted, what is refused."""

from __future__ import annotations

import importlib
import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from damp import methods
from damp.catalogue import PRESETS
from damp.methods import entry_points, presets
from damp.methods.catalogue import METHODS
from damp.methods.closed import assd, bias_shift, esc, fisher, head_row, lfssd, pour
from damp.methods.running import checked_settings


class Small(nn.Module):
    """A convolution, a batch norm, a hidden layer, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 16, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(images)))
        return self.head(torch.relu(self.fc(x.flatten(1))))


@pytest.fixture(scope="module")
def job() -> methods.Job:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        labels = torch.arange(120) % 3
        images = torch.randn(3, 1, 4, 4)[labels] + 0.4 * torch.randn(120, 1, 4, 4)
        model = Small()
        optimiser = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(30):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimiser.step()
        model.zero_grad(set_to_none=True)
    return methods.Job(
        model=model.eval(), inputs=images, labels=labels, forget=(1,), seed=5, build=Small
    )


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_leaves_the_original_and_comes_out_the_same_twice(
    name: str, job: methods.Job
) -> None:
    before, random = state(job.model), torch.get_rng_state()
    settings = METHODS[name].grid[-1 if name == "ssd" else 0]  # one that does something here
    one, again = methods.run(name, job, settings), methods.run(name, job, settings)
    assert all(torch.equal(value, before[key]) for key, value in job.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    first, second = one.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert one.passes == again.passes
    assert not one.model.training
    changed = [k for k in before if not torch.equal(first[k], before[k])]
    assert changed
    if METHODS[name].head_only:
        assert {key.split(".")[0] for key in changed} == {"head"}
    if METHODS[name].norms == "kept":
        assert torch.equal(first["norm.running_mean"], before["norm.running_mean"])
    if METHODS[name].reads == "nothing":
        assert one.passes == methods.Passes(forward=0, backward=0)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_method_like_any_other(name: str, job: methods.Job) -> None:
    def run(task: methods.Job, **settings: float) -> nn.Module:
        return presets.run(task, preset=name)

    done = methods.forgotten(run, name, job, {})
    assert done.passes.forward >= len(job.labels)
    assert done.passes.backward == 0


def test_rows_are_counted_forward_and_backward(job: methods.Job) -> None:
    assert methods.run("fine_tune", job, {"epochs": 2}).passes == methods.Passes(
        forward=160, backward=160
    )
    # all rows, then those of the class; each sample's own gradient
    assert methods.run("ssd", job).passes == methods.Passes(forward=160, backward=160)
    # the rows of the class alone
    assert methods.run("esc", job).passes == methods.Passes(forward=40, backward=0)


def test_bias_shift_and_head_row_by_hand(job: methods.Job) -> None:
    shifted = bias_shift.run(job, shift=7.0)
    expected = job.model.head.bias.detach().clone()  # type: ignore[union-attr]
    expected[1] -= 7.0
    assert torch.equal(shifted.head.bias, expected)  # type: ignore[union-attr]
    # a shift of less than one logit is one, and none is not
    little = bias_shift.run(job, shift=0.5)
    expected[1] += 6.5
    torch.testing.assert_close(little.head.bias, expected)  # type: ignore[union-attr]
    with pytest.raises(methods.BadSetting, match="above 0"):
        bias_shift.run(job, shift=0.0)
    zeroed = head_row.run(job)
    assert not zeroed.head.weight[1].any()  # type: ignore[union-attr, index]
    assert torch.equal(zeroed.head.weight[[0, 2]], job.model.head.weight[[0, 2]])  # type: ignore[union-attr, index]
    # its bias too, and no other
    bias = job.model.head.bias.detach().clone()  # type: ignore[union-attr, operator]
    bias[1] = 0.0
    assert torch.equal(zeroed.head.bias, bias)  # type: ignore[union-attr]


def linear_job(model: nn.Module, inputs: list[list[float]], labels: list[int]) -> methods.Job:
    return methods.Job(
        model=model, inputs=torch.tensor(inputs), labels=torch.tensor(labels), forget=(0,)
    )


def with_weight(rows: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight.data = torch.tensor(rows)
    return layer


ROWS = [[3.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]


def test_esc_takes_the_longest_direction_of_the_class_out_of_the_head() -> None:
    task = linear_job(with_weight([[1.0, 2.0], [3.0, 4.0]]), ROWS, [0, 0, 1, 1])
    weight = esc.run(task, percent=1.5).weight  # one direction at least: the first axis
    torch.testing.assert_close(weight, torch.tensor([[0.0, 2.0], [0.0, 4.0]]))


def test_pour_takes_the_direction_of_the_class_mean_out_of_the_head() -> None:
    # means (2.5, 0) and (0, 0), their mean (1.25, 0): the direction is the first axis
    task = linear_job(with_weight([[1.0, 2.0], [3.0, 4.0]]), ROWS, [0, 0, 1, 1])
    torch.testing.assert_close(pour.run(task).weight, torch.tensor([[0.0, 2.0], [0.0, 4.0]]))


def test_assds_threshold_is_the_percentile_of_the_ratios() -> None:
    everything = {"a": torch.tensor([1.0, 2.0, 4.0, 0.0]), "b": torch.tensor([[5.0, 1.0]])}
    unwanted = {"a": torch.tensor([3.0, 1.0, 4.0, 9.0]), "b": torch.tensor([[1.0, 8.0]])}
    ratios = [3.0, 0.5, 1.0, 0.2, 8.0]
    place = 100 - math.log(1 + 100 * 0.25)
    threshold = assd.threshold(everything, unwanted, 0.25)
    assert threshold == pytest.approx(float(np.percentile(ratios, place)), rel=1e-6)


def test_lfssds_sensitivity_of_a_linear_layer() -> None:
    weight, inputs = np.array([[1.0, -2.0], [0.5, 0.0]]), np.array(ROWS)
    task = linear_job(with_weight(weight.tolist()), ROWS, [0, 0, 1, 1])
    sensitivity = lfssd.sensitivity(task.copy(), task, torch.arange(4))["weight"]
    by_hand = np.abs(2 * (inputs @ weight.T).T @ inputs / 4)  # d/dW of the mean of |Wx|^2
    np.testing.assert_allclose(sensitivity.numpy(), by_hand, atol=1e-5)


def test_the_fisher_information_of_a_linear_layer() -> None:
    weight, inputs = np.array([[1.0, -2.0], [0.5, 0.0], [0.0, 0.3]]), np.array(ROWS)[2:]
    task = linear_job(with_weight(weight.tolist()), ROWS, [0, 0, 1, 1])
    logits = inputs @ weight.T
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = sum(
        chances[:, y].mean() * np.square((chances - np.eye(3)[[y, y]]).T @ inputs / 2)
        for y in range(3)
    )
    information = fisher.fisher(task.copy(), task)["weight"]
    np.testing.assert_allclose(information.numpy(), expected, atol=1e-6)


def test_a_job_without_meaning_is_refused_with_all_its_problems() -> None:
    model, rows = with_weight([[1.0, 2.0], [3.0, 4.0]]), torch.ones(4, 2)
    with pytest.raises(methods.BadJob, match="one a row"):
        methods.Job(model=model, inputs=rows, labels=torch.tensor([0, 1]), forget=(0,))
    with pytest.raises(methods.BadJob, match="int64"):
        methods.Job(model=model, inputs=rows, labels=torch.zeros(4), forget=(0,))
    with pytest.raises(methods.BadJob, match=r"\[2\].*give its rows"):
        methods.Job(model=model, inputs=rows, labels=torch.tensor([0, 0, 1, 1]), forget=(2,))
    with pytest.raises(methods.BadJob, match="left to keep"):
        methods.Job(model=model, inputs=rows, labels=torch.zeros(4).long(), forget=(0,))


def test_settings_that_a_method_has_not_are_refused() -> None:
    with pytest.raises(methods.BadSetting, match="no method 'srcub'"):
        methods.run("srcub", linear_job(with_weight([[1.0], [2.0]]), [[1.0]] * 4, [0, 0, 1, 1]))
    with pytest.raises(methods.BadSetting, match=r"'rat' is no setting.*'rate' is -1"):
        checked_settings("scrub", {"rat": 1.0, "rate": -1.0})


def test_a_method_that_diverges_is_refused(job: methods.Job) -> None:
    with pytest.raises(methods.BadJob, match="diverged"):
        methods.run("fine_tune", job, {"rate": 1e30, "epochs": 3})


def installed(folder: Path, *, point: str = "ours_for_tests:run", source: str = "x = 1") -> None:
    """A package with one module and one entry point, as pip leaves it."""
    info = folder / "ours_for_tests-1.4.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours-for-tests\nVersion: 1.4\n")
    (info / "entry_points.txt").write_text(f"[damp.methods]\nours = {point}\n")
    (folder / "ours_for_tests.py").write_text(source)


def test_a_teams_method_is_found_and_pinned_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, source="raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry: Any = entry_points.find("ours")
    assert (entry.distribution, entry.version) == ("ours-for-tests", "1.4")
    (tmp_path / "ours_for_tests.py").write_text("raise RuntimeError('other')")
    assert entry_points.find("ours").sha256 != entry.sha256
    with pytest.raises(methods.BadSetting, match="cannot be"):
        entry.load()
    assert "ours" in entry_points.names()
    with pytest.raises(methods.BadSetting, match=r"no method .theirs..*ours"):
        entry_points.find("theirs")


@pytest.mark.parametrize("name", METHODS)
def test_whoever_calls_a_method_by_itself_gets_the_settings_of_the_table(name: str) -> None:
    info = METHODS[name]
    module, _, function = info.function.partition(":")
    called = getattr(importlib.import_module(f"damp.methods.{module}"), function)
    parameters = inspect.signature(called).parameters.values()
    settings = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert settings == info.defaults
