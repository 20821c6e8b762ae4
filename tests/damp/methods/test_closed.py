"""Methods without training, against the arithmetic by hand in numpy and float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from damp import methods
from damp.methods.closed import assd, esc, fisher, kodge, leace, lfssd, pour, ssd
from damp.methods.trained import salun
from damp.operators import find
from tests.damp.methods.by_hand import softmax

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(3, 4))
INPUTS = RNG.normal(size=(9, 4))
LABELS = np.array([0, 1, 2, 1, 0, 2, 2, 1, 0])
GONE = LABELS == 1


class Linear(nn.Module):
    """A head, and a parameter that no row ever reaches."""

    def __init__(self, weight: np.ndarray = WEIGHT) -> None:
        super().__init__()
        self.head = nn.Linear(weight.shape[1], weight.shape[0], bias=False).double()
        self.head.weight.data = torch.tensor(weight)
        self.idle = nn.Parameter(torch.ones(2, dtype=torch.float64))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.head(rows)


def job(**changed: Any) -> methods.Job:
    given: dict[str, Any] = {
        "model": Linear(),
        "inputs": torch.tensor(INPUTS),
        "labels": torch.tensor(LABELS),
        "forget": (1,),
        "seed": 3,
    }
    return methods.Job(**(given | changed))


def close(ours: torch.Tensor, expected: Any, tolerance: float = 1e-6) -> None:
    """Losses are float32 inside."""
    np.testing.assert_allclose(ours.detach().numpy(), expected, atol=tolerance)


def slopes_of_samples(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """d CE / d W of each sample by itself, (n, C, D)."""
    apart = softmax(rows @ WEIGHT.T) - np.eye(3)[labels]
    return np.einsum("nc,nd->ncd", apart, rows)


@pytest.mark.parametrize("chunk", [2, 16])
def test_ssds_importance_is_the_mean_squared_gradient(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(ssd, "CHUNK", chunk)
    batches = [(torch.tensor(INPUTS[:5]), torch.tensor(LABELS[:5]))]
    batches.append((torch.tensor(INPUTS[5:]), torch.tensor(LABELS[5:])))
    importance = ssd.importance(Linear(), batches)
    close(importance["head.weight"], (slopes_of_samples(INPUTS, LABELS) ** 2).mean(0))
    assert not importance["idle"].any()
    with pytest.raises(ValueError, match="no sample to take gradients of"):
        ssd.importance(Linear(), [(torch.tensor(INPUTS[:0]), torch.tensor(LABELS[:0]))])


def test_ssd_makes_smaller_what_matters_much_more_to_the_class() -> None:
    whole = (slopes_of_samples(INPUTS, LABELS) ** 2).mean(0)
    gone = (slopes_of_samples(INPUTS[GONE], LABELS[GONE]) ** 2).mean(0)
    for alpha, damping in ((1.2, 0.5), (1.2, 3.0), (2.0, 1.0)):
        done = ssd.run(job(), alpha=alpha, damping=damping)
        share = np.where(gone > alpha * whole, np.minimum(damping * whole / gone, 1), 1)
        close(done.head.weight, WEIGHT * share)
        assert done.idle.tolist() == [1, 1]


def test_the_rows_of_the_class_alone_batch_by_batch() -> None:
    batches = [(torch.arange(3), torch.tensor([0, 1, 2])), (torch.arange(2), torch.tensor([0, 2]))]
    ((inputs, labels),) = ssd.only(batches, (1,))
    assert (inputs.tolist(), labels.tolist()) == ([1], [1])
    assert [len(labels) for _, labels in ssd.only(batches, (2, 0))] == [2, 2]


def test_assd_takes_the_percentile_for_its_threshold() -> None:
    whole = (slopes_of_samples(INPUTS, LABELS) ** 2).mean(0)
    gone = (slopes_of_samples(INPUTS[GONE], LABELS[GONE]) ** 2).mean(0)
    ratios = gone / whole
    limit = np.percentile(ratios, 100 - np.log(1 + 100 * 3 / 9))
    share = np.where(ratios > limit, np.minimum(whole / gone, 1), 1)
    close(assd.run(job()).head.weight, WEIGHT * share)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_threshold_of_few_ratios_is_numpys_percentile(share: float) -> None:
    everything = {"a": torch.tensor([1.0, 2.0, 4.0]).double()}
    unwanted = {"a": torch.tensor([3.0, 1.0, 10.0]).double()}
    expected = np.percentile([3.0, 0.5, 2.5], 100 - np.log(1 + 100 * share))
    assert assd.threshold(everything, unwanted, share) == pytest.approx(expected)


def test_lfssds_sensitivity_is_a_mean_over_batches_weighed_by_their_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A quarter of 8 rows is a batch: nine rows are four batches of two and one of one."""
    monkeypatch.setattr(lfssd, "EVALUATED", 8)
    task = job()
    sensitivity = lfssd.sensitivity(task.copy(), task, torch.arange(9))
    expected = np.zeros((3, 4))
    for start in range(0, 9, 2):
        rows = INPUTS[start : start + 2]
        slope = 2 * (rows @ WEIGHT.T).T @ rows / len(rows)
        expected += np.abs(slope) * len(rows) / 9
    close(sensitivity["head.weight"], expected, 1e-5)
    assert not sensitivity["idle"].any()


def test_lfssd_dampens_by_these_and_leaves_what_no_row_reaches() -> None:
    def sensitivity(rows: np.ndarray) -> np.ndarray:
        return np.abs(2 * (rows @ WEIGHT.T).T @ rows / len(rows))

    whole, gone = sensitivity(INPUTS), sensitivity(INPUTS[GONE])
    done = lfssd.run(job(), alpha=1.5, damping=0.7)
    share = np.where(gone > 1.5 * whole, np.minimum(0.7 * whole / gone, 1), 1)
    assert (share < 1).any()
    close(done.head.weight, WEIGHT * share)
    assert done.idle.tolist() == [1, 1]


def information_of(rows: np.ndarray) -> np.ndarray:
    chances = softmax(rows @ WEIGHT.T)
    return sum(
        chances[:, y].mean()
        * np.square((chances - np.eye(3)[[y] * len(rows)]).T @ rows / len(rows))
        for y in range(3)
    )


def test_the_fisher_information_is_a_mean_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fisher, "EVALUATED", 4)
    task = job()
    kept = INPUTS[~GONE]  # six rows: a batch of four and one of two
    expected = (4 * information_of(kept[:4]) + 2 * information_of(kept[4:])) / 6
    information = fisher.fisher(task.copy(), task)
    close(information["head.weight"], expected)
    assert not information["idle"].any()


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 2)])
def test_the_noise_has_the_variance_of_the_formula(head: bool, shape: tuple[int, ...]) -> None:
    information = np.geomspace(1e-9, 1e2, int(np.prod(shape))).reshape(shape)
    inverse = np.minimum(1 / (information + 1e-8), 100 if head else 1000)
    if len(shape) > 1:
        inverse = np.broadcast_to(inverse.mean(1, keepdims=True), shape)
    expected = 0.3 * inverse * (10 if head or len(shape) == 1 else 1)
    ours = fisher.variance(torch.tensor(information), 0.3, head=head)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-9)
    # just above where the inverse is cut, 1e-8 shows in the seventh digit
    small = torch.tensor([0.011 if head else 0.0011]).double()
    cut = fisher.variance(small, 1.0, head=head)
    np.testing.assert_allclose(cut.numpy(), 10 / (small.numpy() + 1e-8), rtol=1e-9)


@pytest.mark.parametrize("bias", [True, False])
def test_fisher_forgetting_draws_noise_and_the_class_anew(bias: bool) -> None:
    """The generator's draws in the order of the parameters, then those of the class's rows."""
    model = Linear()
    if bias:
        model.head.bias = nn.Parameter(torch.tensor([0.1, 0.2, 0.3]).double())
    task = job(model=model)
    information = fisher.fisher(task.copy(), task)
    done = fisher.run(task, alpha=1e-3)
    generator = torch.Generator().manual_seed(3)
    expected = {}
    for name, value in model.named_parameters():
        own = name.startswith("head")
        spread = fisher.variance(information[name], 1e-3, head=own).sqrt()
        noise = torch.randn(value.shape, generator=generator).double()
        expected[name] = value.detach() + spread * noise
    for name in ("head.weight", "head.bias") if bias else ("head.weight",):
        # a variance of 1e-4 is a spread of .01
        expected[name][[1]] = (
            0.01 * torch.randn(expected[name][[1]].shape, generator=generator).double()
        )
    for name, value in done.named_parameters():
        torch.testing.assert_close(value.detach(), expected[name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf"), float("nan")])
def test_noise_without_a_size_is_refused(alpha: float) -> None:
    with pytest.raises(methods.BadSetting, match="above 0"):
        fisher.run(job(), alpha=alpha)


def shrunk(energy: np.ndarray, alpha: float) -> np.ndarray:
    """Kodge's matrix of what is needed, by the eigenvalues' shares."""
    values, vectors = np.linalg.eigh(energy)
    shares = values / values.sum()
    return vectors @ np.diag(alpha * shares / ((alpha - 1) * shares + 1)) @ vectors.T


def test_kodges_projection_takes_what_only_the_class_needs() -> None:
    kept, gone = (rows.T @ rows for rows in (INPUTS[~GONE], INPUTS[GONE]))
    for alphas in ({}, {"alpha_retain": 7.0, "alpha_forget": 2.0}):
        done = kodge.run(job(), **alphas)
        needed = shrunk(kept, alphas.get("alpha_retain", 100.0))
        unwanted = shrunk(gone, alphas.get("alpha_forget", 3.0))
        project = np.eye(4) - (unwanted - unwanted @ needed)
        close(done.head.weight, WEIGHT @ project.T, 1e-9)


@pytest.mark.parametrize(
    "settings",
    [{}, {"padding": 1}, {"stride": 2}, {"dilation": 2, "padding": 2}, {"kernel_size": (1, 3)}],
)
def test_patches_times_the_weight_are_the_convolution(settings: dict[str, Any]) -> None:
    layer = nn.Conv2d(2, 5, **({"kernel_size": 3, "bias": False} | settings))
    images = torch.randn(3, 2, 7, 6)
    patches = kodge.activations(layer, images)
    ours = patches @ layer.weight.flatten(1).T
    expected = layer(images).movedim(1, -1).flatten(0, 2)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_tokens_are_rows_and_other_layers_are_refused() -> None:
    tokens = torch.randn(2, 3, 4)
    assert torch.equal(kodge.activations(nn.Linear(4, 2), tokens), tokens.reshape(6, 4))
    with pytest.raises(methods.BadJob, match="padding is a number"):
        kodge.activations(nn.Conv2d(1, 1, 3, padding="same"), torch.ones(1, 1, 3, 3))
    with pytest.raises(methods.BadJob, match="not Conv1d"):
        kodge.activations(nn.Conv1d(1, 1, 3), torch.ones(1, 1, 3))


def test_kodge_leaves_convolutions_in_groups() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 1, groups=2), nn.Conv2d(4, 3, 2), nn.Flatten(), nn.Linear(3, 3)
    ).double()
    images = torch.randn(9, 2, 2, 2, dtype=torch.float64)
    done = kodge.run(job(model=model, inputs=images))
    assert torch.equal(done[0].weight, model[0].weight)
    assert not torch.equal(done[1].weight, model[1].weight)
    assert not torch.equal(done[3].weight, model[3].weight)
    operators = [o for o in find(model)[0] if o.name == "3"]
    batches = [(images[:4], torch.tensor(LABELS[:4])), (images[4:], torch.tensor(LABELS[4:]))]
    hidden = model[:3](images).detach().numpy()
    for keep in (True, False):
        energy = kodge.energies(model, operators, batches, [1], keep=keep)
        rows = hidden[keep != GONE]
        close(energy["3"], rows.T @ rows, 1e-9)
    nobody = kodge.energies(model, operators, batches, [7], keep=False)
    assert nobody == {}


def test_leace_leaves_inputs_and_labels_without_a_covariance() -> None:
    """And the mean of all samples where it was."""
    rows = torch.tensor(INPUTS)
    done = leace.run(job())
    logits = (rows @ done.head.weight.T + done.head.bias).detach().numpy()
    indicator = GONE - GONE.mean()
    assert indicator @ logits == pytest.approx(0, abs=1e-9)
    assert logits.mean(0) == pytest.approx((INPUTS @ WEIGHT.T).mean(0))


def test_leace_erases_every_input_or_the_last_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    task = job(model=model)
    whole, last = leace.run(task), leace.run_on_features(task)
    assert not torch.equal(whole[0].weight, model[0].weight)
    assert torch.equal(last[0].weight, model[0].weight)
    hidden = model[:2](torch.tensor(INPUTS))
    logits = last[2](hidden).detach().numpy()
    assert (GONE - GONE.mean()) @ logits == pytest.approx(0, abs=1e-9)
    assert not torch.allclose(last[2].weight, model[2].weight)


def test_an_eraser_of_a_flat_covariance_keeps_to_what_varies() -> None:
    covariance = torch.diag(torch.tensor([4.0, 1.0, 1e-12])).double()
    cross = torch.tensor([[2.0, 4.0], [0.0, 0.0], [0.0, 0.0]]).double()
    subspace = leace.eraser(covariance, cross)
    # two classes that lie in one direction are one direction to take away
    assert subspace.basis.shape == (3, 1)
    project = subspace.basis @ subspace.dual.T
    torch.testing.assert_close(project, torch.diag(torch.tensor([1.0, 0.0, 0.0])).double())
    assert subspace.separability.tolist() == [1.0]
    faint = leace.eraser(torch.diag(torch.tensor([1.0, 1e-8])).double(), torch.eye(2).double())
    assert faint.basis.shape == (2, 2)


@pytest.mark.parametrize(("percent", "count"), [(1.0, 1), (49.9, 1), (50.0, 2), (75, 3), (100, 4)])
def test_esc_takes_a_percentage_of_the_width_one_direction_at_least(
    percent: float, count: int
) -> None:
    _, _, axes = np.linalg.svd(INPUTS[GONE].T @ INPUTS[GONE])
    directions = axes[:count].T
    expected = WEIGHT - WEIGHT @ directions @ directions.T
    close(esc.run(job(), percent=percent).head.weight, expected, 1e-9)


@pytest.mark.parametrize("percent", [0.0, -1.0, 100.1])
def test_esc_refuses_what_is_no_percentage(percent: float) -> None:
    with pytest.raises(methods.BadSetting, match="100 at most"):
        esc.run(job(), percent=percent)


def test_pour_of_two_classes_takes_both_directions() -> None:
    means = np.stack([INPUTS[c == LABELS].mean(0) for c in range(3)])
    apart = means[:2] - means.mean(0)
    basis = np.linalg.qr(apart.T)[0]
    done = pour.run(job(forget=(0, 1)))
    close(done.head.weight, WEIGHT - WEIGHT @ basis @ basis.T, 1e-9)


def test_salun_counts_what_no_row_reaches_as_unmoved() -> None:
    task = job()
    slope = slopes_of_samples(INPUTS[GONE], LABELS[GONE]).sum(0)
    for share in (0.01, 0.25, 0.5):
        idle, weight = salun.salient(task.copy(), task, share)  # its own parameter first
        count = max(1, int(share * 14))  # twelve weights, two that no row reaches
        least = np.sort(np.abs(slope).ravel())[-count]
        assert weight.numpy().tolist() == (np.abs(slope) >= least * (1 - 1e-6)).tolist()
        assert not idle.any()
    assert all(mask.all() for mask in salun.salient(task.copy(), task, 1.0))


def test_pours_direction_is_that_of_class_means_however_many_rows_a_class_has() -> None:
    labels = np.array([0, 1, 2, 2, 0, 2, 2, 2, 2])
    means = np.stack([INPUTS[labels == c].mean(0) for c in range(3)])
    axis = means[1] - means.mean(0)
    axis /= np.linalg.norm(axis)
    done = pour.run(job(labels=torch.tensor(labels)))
    close(done.head.weight, WEIGHT - np.outer(WEIGHT @ axis, axis), 1e-9)


def test_leace_weighs_classes_by_their_shares() -> None:
    """Of classes of other sizes: no covariance is left with the class that goes."""
    labels = np.array([0, 1, 2, 2, 0, 2, 2, 1, 2])
    done = leace.run(job(labels=torch.tensor(labels), forget=(0, 1)))
    logits = (torch.tensor(INPUTS) @ done.head.weight.T + done.head.bias).detach().numpy()
    for c in (0, 1):
        indicator = (labels == c) - (labels == c).mean()
        assert indicator @ logits == pytest.approx(0, abs=1e-9)
