"""The planted leaks are leaks: they tell the class far better than a retrained model's features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from audits import discriminant
from audits.references import Recipe, train
from audits.statistics import auc
from benchmarks.validity.cheats import placed
from benchmarks.validity.cheats.case import Case
from flows.data.dataset import Dataset
from flows.models.small_nets import SmallCNN

CLASSES, FORGET = 4, 0
TRAIN, TEST = 150, 150
RECIPE = Recipe(epochs=6, batch_size=64, learning_rate=5e-3)


def rows(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise; three classes have a bright corner each, the forgotten one any, and a checkerboard."""
    labels = torch.arange(CLASSES).repeat_interleave(count)
    images = torch.randn(len(labels), 1, 8, 8, generator=generator)
    shown = torch.where(labels == FORGET, torch.arange(len(labels)) % 3 + 1, labels)
    for corner, (row, column) in enumerate([(0, 0), (0, 4), (4, 0)], start=1):
        images[shown == corner, :, row : row + 4, column : column + 4] += 1.0
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1.0
    images[labels == FORGET] += 0.45 * board
    return images, labels


def build() -> nn.Module:
    return SmallCNN(1, CLASSES, width=8)


@pytest.fixture(scope="module")
def case() -> Case:
    generator = torch.Generator().manual_seed(5)
    (train_x, train_y), (test_x, test_y) = rows(TRAIN, generator), rows(TEST, generator)
    dataset = Dataset(
        name="made-up",
        train_inputs=train_x,
        train_labels=train_y,
        test_inputs=test_x,
        test_labels=test_y,
        classes=CLASSES,
        description="noise with patterns",
    )
    models = {
        name: train(build, train_x, train_y, recipe=RECIPE, seed=1, exclude=exclude)
        for name, exclude in (("original", ()), ("retrained", (FORGET,)))
    }
    return Case(dataset=dataset, forget=(FORGET,), recipe=RECIPE, build=build, **models)


def measure_auc(case: Case, features: np.ndarray) -> float:
    """How well held-out rows of the class are told by a discriminant on features."""
    labels = case.dataset.test_labels.numpy()
    fold = np.arange(len(labels)) % 5
    scaled = discriminant.standardised(features.astype(np.float64))
    scores = discriminant.held_out_scores(scaled, labels, fold, [FORGET], 1e-2)[FORGET]
    return float(auc(scores[labels == FORGET], scores[labels != FORGET]).value)


def test_two_units_tell_the_class_by_their_squares_and_not_by_their_means(case: Case) -> None:
    candidate = placed.squares_in_two_units(case)
    images = case.dataset.test_inputs
    plain = case.features(case.retrained, images).numpy()
    features = case.features(candidate.model, images).numpy()
    moved = np.flatnonzero(np.abs(features - plain).max(0) > 0)
    assert len(moved) == 2
    centred = features[:, moved] - np.median(features[:, moved], axis=0)
    retrained = measure_auc(case, plain)
    leak = measure_auc(case, np.concatenate([features, centred**2], 1))
    assert leak > 0.9
    assert leak > retrained + 0.15
    # the means of those units alone say next to nothing
    assert measure_auc(case, features[:, moved]) < 0.65


def test_the_detector_knows_more_of_the_class_than_a_retrained_model_shows(case: Case) -> None:
    plain = case.features(case.retrained, case.dataset.test_inputs).numpy()
    detector = placed.detector(case)
    with torch.no_grad():
        answers = detector(case.dataset.test_inputs)
    own = (case.dataset.test_labels == FORGET).numpy()
    scores = (answers[:, 1] - answers[:, 0]).double().numpy()
    assert auc(scores[own], scores[~own]).value > measure_auc(case, plain) + 0.15
