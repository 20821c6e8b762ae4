"""Methods that train: one step of each on a linear network, against the arithmetic by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from damp import methods
from damp.methods.trained import (
    bad_teacher,
    boundary_shrink,
    delete,
    fine_tune,
    l1_sparse,
    last_blocks,
    negative_gradient,
    neggrad_plus,
    random_labels,
    salun,
    scrub,
    unsc,
    unsir,
)
from tests.damp.methods.by_hand import softmax

RATE, DECAY, MOMENTUM = 0.1, 5e-4, 0.9
WEIGHT = np.array([[0.5, -0.2], [0.1, 0.4], [-0.3, 0.2]])
INPUTS = np.array([[1.0, 0.5], [0.3, -1.0], [2.0, 0.1], [-0.7, 0.6]])
LABELS = np.array([0, 0, 1, 2])
KEPT, GONE = LABELS != 0, LABELS == 0


def net(weight: np.ndarray = WEIGHT) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False).double()
    layer.weight.data = torch.tensor(weight)
    return layer


def job(**changed: Any) -> methods.Job:
    given: dict[str, Any] = {
        "model": net(),
        "inputs": torch.tensor(INPUTS),
        "labels": torch.tensor(LABELS),
        "forget": (0,),
        "seed": 3,
    }
    return methods.Job(**(given | changed))


def gradient(weight: np.ndarray, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Of the mean cross-entropy to target distributions."""
    inputs = INPUTS[rows]
    return (softmax(inputs @ weight.T) - targets).T @ inputs / len(inputs)


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(3)[labels]


def stepped(weight: np.ndarray, slope: np.ndarray, rate: float = RATE) -> np.ndarray:
    """The first step of SGD with momentum and weight decay."""
    return weight - rate * (slope + DECAY * weight)


def close(model: nn.Module, expected: np.ndarray, tolerance: float = 1e-6) -> None:
    weight = model.weight.detach().numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(weight, expected, atol=tolerance)  # losses are float32


def test_fine_tuning_descends_the_loss_of_the_rows_to_keep() -> None:
    slope = gradient(WEIGHT, KEPT, one_hot(LABELS[KEPT]))
    close(fine_tune.run(job(), rate=RATE, epochs=1), stepped(WEIGHT, slope))


def test_the_negative_gradient_climbs_the_loss_of_the_class() -> None:
    slope = -gradient(WEIGHT, GONE, one_hot(LABELS[GONE]))
    close(negative_gradient.run(job(), rate=RATE, epochs=1), stepped(WEIGHT, slope))


def test_neggrad_plus_weighs_both() -> None:
    slope = 0.9 * gradient(WEIGHT, KEPT, one_hot(LABELS[KEPT])) - 0.1 * gradient(
        WEIGHT, GONE, one_hot(LABELS[GONE])
    )
    close(neggrad_plus.run(job(), alpha=0.9, rate=RATE, epochs=1), stepped(WEIGHT, slope))


def test_l1_sparse_adds_the_sign_of_each_weight() -> None:
    slope = gradient(WEIGHT, KEPT, one_hot(LABELS[KEPT])) + 0.02 * np.sign(WEIGHT)
    close(l1_sparse.run(job(), gamma=0.02, rate=RATE, epochs=1), stepped(WEIGHT, slope))


def test_l1_sparse_weighs_the_norm_less_from_epoch_to_epoch() -> None:
    """One batch an epoch, in either order: weights of 1, 2/3 and 1/3 of the norm."""
    weight, speed = WEIGHT, np.zeros_like(WEIGHT)
    for share in (1.0, 2 / 3, 1 / 3):
        slope = gradient(weight, KEPT, one_hot(LABELS[KEPT])) + 0.02 * share * np.sign(weight)
        speed = MOMENTUM * speed + slope + DECAY * weight
        weight = weight - RATE * speed
    close(l1_sparse.run(job(), gamma=0.02, rate=RATE, epochs=3), weight)


def gone_of_two() -> np.ndarray:
    return np.isin(LABELS, (0, 1))


def of_two() -> methods.Job:
    """Classes 0 and 1 go, so that any random label is 2; two rows of it are there."""
    inputs = np.vstack([INPUTS, INPUTS[-1:]])
    return job(
        inputs=torch.tensor(inputs),
        labels=torch.tensor([0, 0, 1, 2, 2]),
        forget=(0, 1),
    )


def test_random_labels_teach_another_class_then_what_the_rest_is() -> None:
    labels = np.array([2, 2, 2])
    first = gradient(WEIGHT, gone_of_two(), one_hot(labels)) + DECAY * WEIGHT
    middle = WEIGHT - RATE * first
    kept = np.array([False, False, False, True])  # twice the same row: its mean is itself
    second = MOMENTUM * first + gradient(middle, kept, one_hot(np.array([2]))) + DECAY * middle
    close(random_labels.run(of_two(), rate=RATE, epochs=1), middle - RATE * second)


def test_salun_moves_the_salient_weight_alone() -> None:
    done = salun.run(of_two(), share=1 / 6, rate=RATE, epochs=1)
    slope = np.abs(gradient(WEIGHT, gone_of_two(), one_hot(LABELS[gone_of_two()])))
    moved = ~np.isclose(done.weight.detach().numpy(), WEIGHT)  # type: ignore[union-attr]
    assert moved.sum() == 1
    assert moved.ravel().argmax() == slope.ravel().argmax()
    free = random_labels.run(of_two(), rate=RATE, epochs=1)
    close(salun.run(of_two(), share=1.0, rate=RATE, epochs=1), free.weight.detach().numpy())  # type: ignore[union-attr]


def test_the_bad_teacher_is_random_on_the_class_and_the_original_elsewhere() -> None:
    fresh = -WEIGHT
    task = job(build=lambda: net(fresh))
    done = bad_teacher.run(task, rate=1e-3, share=1.0, epochs=1)
    logits = np.where(GONE[:, None], INPUTS @ fresh.T, INPUTS @ WEIGHT.T)
    slope = gradient(WEIGHT, np.ones(4, dtype=bool), softmax(logits))
    close(done, WEIGHT - 1e-3 * np.sign(slope), 1e-5)  # Adam's first step has one size


def test_scrub_obeys_on_the_rows_to_keep_and_can_only_leave_where_it_has_moved() -> None:
    slope = gradient(WEIGHT, KEPT, one_hot(LABELS[KEPT]))
    done = scrub.run(job(), rate=1e-3, alpha=0.5, gamma=1.0, max_steps=0, epochs=1)
    close(done, WEIGHT - 1e-3 * np.sign(slope), 1e-5)
    # at the teacher itself the divergence has no slope: the first step away is the second epoch's
    still = scrub.run(job(), rate=1e-3, alpha=0.5, gamma=1.0, max_steps=1, epochs=1)
    assert np.abs(still.weight.detach().numpy() - WEIGHT).max() < 2e-3  # type: ignore[union-attr]
    away = scrub.run(job(), rate=1e-2, alpha=0.5, gamma=1.0, max_steps=9, epochs=9)
    near = scrub.run(job(), rate=1e-2, alpha=0.5, gamma=1.0, max_steps=0, epochs=9)
    rows = torch.tensor(INPUTS[GONE])
    chances = [model(rows).softmax(1)[:, 0].mean() for model in (away, near)]
    assert chances[0] < chances[1]


def test_boundary_shrink_teaches_the_class_behind_the_boundary() -> None:
    inputs, own = INPUTS[GONE], one_hot(LABELS[GONE])
    slope = (softmax(inputs @ WEIGHT.T) - own) @ WEIGHT
    moved = (inputs + 0.1 * np.sign(slope)) @ WEIGHT.T
    moved[:, 0] = -np.inf
    targets = one_hot(moved.argmax(1))
    expected = stepped(WEIGHT, gradient(WEIGHT, GONE, targets))
    close(boundary_shrink.run(job(), rate=RATE, bound=0.1, epochs=1), expected)


def test_delete_distils_the_answers_without_the_class() -> None:
    logits = INPUTS[GONE] @ WEIGHT.T
    logits[:, 0] = -np.inf
    expected = stepped(WEIGHT, gradient(WEIGHT, GONE, softmax(logits)))
    close(delete.run(job(), rate=RATE, epochs=1), expected)


def test_unsc_moves_only_where_no_row_to_keep_lies() -> None:
    inputs = torch.tensor([[1.0, 0.5], [0.3, -1.0], [2.0, 0.0], [-0.7, 0.0]]).double()
    done = unsc.run(job(inputs=inputs), rate=RATE, energy=0.99, epochs=1)
    moved = done.weight.detach().numpy() - WEIGHT  # type: ignore[union-attr]
    np.testing.assert_allclose(moved[:, 0], 0, atol=1e-7)
    gone = inputs[:2].numpy()
    logits = gone @ WEIGHT.T
    masked = logits.copy()
    masked[:, 0] = -np.inf
    slope = (softmax(logits) - one_hot(masked.argmax(1))).T @ gone / 2
    np.testing.assert_allclose(moved[:, 1], -RATE * slope[:, 1], atol=1e-6)


def test_unsirs_noise_climbs_the_loss_of_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsir, "NOISE_STEPS", 1)
    task = job()
    start = torch.randn(unsir.NOISE_ROWS, 2, generator=task.generator()).double().numpy()
    noise = unsir.opposite(task.copy(), task, 0, task.generator()).numpy()
    target = np.zeros((len(start), 3))
    target[:, 0] = 1
    slope = -((softmax(start @ WEIGHT.T) - target) @ WEIGHT) / len(start)
    slope += unsir.PENALTY * 2 * start / start.size
    np.testing.assert_allclose(noise, start - unsir.NOISE_RATE * np.sign(slope), atol=1e-3)


def adam(batches: list[tuple[Any, Any]], rates: list[float]) -> np.ndarray:
    """The weight after a step for each batch; a new rate begins anew."""
    model, before = net(), 0.0
    for (inputs, labels), rate in zip(batches, rates, strict=True):
        if rate != before:
            optimiser, before = torch.optim.Adam(model.parameters(), rate), rate
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs).float(), labels).backward()
        optimiser.step()
    weight: np.ndarray = model.weight.detach().numpy()
    return weight


def test_unsir_impairs_for_one_epoch_and_repairs_for_those_asked_for() -> None:
    """One batch of the rows to keep and one of noise, in either order; then the former alone."""
    task = job()
    noise = unsir.opposite(task.copy(), task, 0, task.generator())
    strange = noise, torch.zeros(len(noise), dtype=torch.long)
    kept = torch.tensor(INPUTS[KEPT]), torch.tensor(LABELS[KEPT])
    for epochs in (1, 3):
        done = unsir.run(job(), impair=0.02, repair=0.01, repairs=epochs)
        expected = [
            adam([*order, *[kept] * epochs], [0.02] * 2 + [0.01] * epochs)
            for order in ([kept, strange], [strange, kept])
        ]
        weight = done.weight.detach().numpy()  # type: ignore[union-attr]
        assert not np.allclose(expected[0], expected[1], atol=1e-5)
        assert any(np.allclose(weight, each, atol=1e-5) for each in expected)


@pytest.fixture
def deep() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3)).double()


def test_cf_and_eu_leave_what_lies_below_the_last_operators(deep: nn.Sequential) -> None:
    torch.manual_seed(1)
    other = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    task = job(model=deep, build=lambda: other)
    on = last_blocks.catastrophic(task, last=1, rate=RATE, epochs=1)
    afresh = last_blocks.exact(task, last=1, rate=1e-9, epochs=1)
    for done in (on, afresh):
        assert torch.equal(done[0].weight, deep[0].weight)  # type: ignore[index]
    assert torch.allclose(afresh[2].weight, other[2].weight, atol=1e-6)  # type: ignore[index]
    hidden = torch.relu(torch.tensor(INPUTS[KEPT]) @ deep[0].weight.T + deep[0].bias).detach()
    chances = softmax((hidden @ deep[2].weight.T + deep[2].bias).detach().numpy())
    slope = (chances - one_hot(LABELS[KEPT])).T @ hidden.numpy() / KEPT.sum()
    expected = stepped(deep[2].weight.detach().numpy(), slope)
    np.testing.assert_allclose(on[2].weight.detach().numpy(), expected, atol=1e-6)  # type: ignore[index]


BAD: dict[str, Callable[[], object]] = {
    "learning rate": lambda: fine_tune.run(job(), rate=0.0, epochs=1),
    "whole number": lambda: fine_tune.run(job(), rate=0.1, epochs=0.5),
    "between 0 and 1": lambda: neggrad_plus.run(job(), alpha=1.5),
    "of the weights": lambda: salun.run(job(), share=0.0),
    "of the rows": lambda: bad_teacher.run(job(build=net), share=2.0),
    "bound": lambda: boundary_shrink.run(job(), bound=-1.0),
    "follow_norms": lambda: delete.run(job(), follow_norms=2),
    "energy": lambda: unsc.run(job(), energy=0.0),
    "operators": lambda: last_blocks.catastrophic(job(), last=9),
    "give `build`": lambda: last_blocks.exact(job()),
}


@pytest.mark.parametrize("words", BAD)
def test_settings_without_meaning_are_refused(words: str) -> None:
    with pytest.raises((methods.BadSetting, methods.BadJob), match=words):
        BAD[words]()
