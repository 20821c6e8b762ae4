"""The benchmark's readers see what is planted and nothing else; its targets and cache hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from benchmarks.method import cases, measures, store, tables
from benchmarks.method.data import Data
from benchmarks.method.training import RECIPES, key

SIZE = 120


@pytest.fixture
def features():
    """Makes features (n, 6) and labels of four classes; class 3 apart, or one with class 2."""

    def make(*, apart):
        generator = np.random.default_rng(0)
        labels = np.repeat(np.arange(4), SIZE)
        centres = 6 * np.eye(4, 6)
        if not apart:
            centres[3] = centres[2]
        return centres[labels] + generator.normal(size=(len(labels), 6)), labels

    return make


@pytest.mark.parametrize("shots", measures.SHOTS)
def test_few_shots_find_a_class_that_is_there_and_only_that(features, shots):
    classes = np.arange(4)
    there, gone = (
        measures.few_shot(*features(apart=apart), classes, [3], shots) for apart in (True, False)
    )
    assert there > 0.9
    assert gone == pytest.approx(0.5, abs=0.1)  # two classes in one place: a coin


def test_a_fresh_head_finds_a_class_that_is_there_and_only_that(features):
    by_name = {}
    for apart in (True, False):
        x, labels = features(apart=apart)
        by_name[apart] = measures.refitted(x, labels, labels == 3)
    assert by_name[True][0] > 0.97
    assert by_name[False][0] == pytest.approx(0.5, abs=0.15)
    assert by_name[True][1] > 0.97


def test_distance_along_the_discriminant(features):
    there, gone = (measures.dprime(*features(apart=apart), [3]) for apart in (True, False))
    assert there > 4
    assert gone < there / 2


def test_routes_are_told_apart():
    labels = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    logits = np.eye(3)[[0, 0, 1, 1, 0, 0, 1, 1]] + 2 * np.eye(3)[labels] * (labels == 2)[:, None]
    observation = measures.Observation(logits=logits, features={})
    own = measures.shares(observation, labels, [2])
    assert own.tolist() == [[0.5, 0.5]]
    assert measures.routing(own, [own, own]) == pytest.approx(0)
    other = np.array([[1.0, 0.0]])
    # Jensen-Shannon divergence of (1/2, 1/2) and (1, 0), worked out by hand, in nats
    expected = 0.5 * (np.log(2 / 3) / 2 + np.log(2) / 2) + 0.5 * np.log(4 / 3)
    assert measures.routing(own, [other]) * _unit() == pytest.approx(expected, abs=1e-12)


def _unit():
    """Nats in one unit of the package's divergence: that of two routes without overlap is one."""
    full = measures.routing(np.array([[1.0, 0.0]]), [np.array([[0.0, 1.0]])])
    return np.log(2) / full


def test_targets_are_missed_by_what_they_are_missed_by():
    exact = cases.EXACT
    assert cases.shortfall(exact, "retain", 0.90, 0.95, 0.1) == pytest.approx(0.047)
    assert cases.shortfall(exact, "retain", 0.99, 0.95, 0.1) == 0
    assert cases.shortfall(exact, "forget", 0.05, 0.0, 0.0) == pytest.approx(0.03)
    assert cases.shortfall(exact, "few1@last", 0.6, 0.7, 0.04) == pytest.approx(0.06)
    assert cases.shortfall(exact, "few1@last", 0.73, 0.7, 0.04) == 0
    photographs = cases.PHOTOGRAPHS
    assert cases.shortfall(photographs, "refit@last", 0.55, 0.5, 0.2) == pytest.approx(0.04)
    assert cases.shortfall(photographs, "refit@last", 0.30, 0.5, 0.2) == 0


def test_a_missed_target_is_bold_and_an_interval_is_students():
    values = [0.01, -0.02, 0.03, 0.05]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert tables.half_interval(values) == pytest.approx((high - low) / 2, abs=1e-4)
    entry = {"mean": 0.4, "difference": 0.1, "half_interval": 0.02, "met": False}
    assert tables._cell("retain", entry) == "**0.400** (+0.100 ± 0.020)"
    assert tables._cell("retain", entry | {"met": True}) == "0.400 (+0.100 ± 0.020)"


def test_results_are_made_once_for_the_same_facts(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CACHE", tmp_path)
    rows = []

    def make():
        rows.append(1)
        return {"figure": len(rows)}

    assert store.kept("figures", {"seed": 0}, make) == {"figure": 1}
    assert store.kept("figures", {"seed": 0}, make) == {"figure": 1}
    assert store.kept("figures", {"seed": 1}, make) == {"figure": 2}
    other = nn.Linear(2, 2)
    before = store.fingerprint(other)
    other.bias.data[0] += 1
    assert store.fingerprint(other) != before


def test_surgery_sees_training_rows_in_the_numbers_that_are_told():
    labels = torch.arange(200) % 4
    images = torch.randint(255, (200, 1, 2, 2), dtype=torch.uint8)
    data = Data(images={"train": images}, labels={"train": labels}, digest="x")
    study = cases.Study(
        data="digits", net="cnn", requests=((1,),), seeds=(0,),
        kept=10, gone=30, methods=(), targets=cases.EXACT,
    )  # fmt: skip
    shown_labels = torch.cat([label for _, label in cases.batches(data, study, (1,))])
    assert torch.bincount(shown_labels).tolist() == [10, 30, 10, 10]
    assert shown_labels.tolist() != sorted(shown_labels.tolist())
    recipe = RECIPES["digits", "cnn"]
    assert (
        key(recipe, data, 0, (1, 3)) == key(recipe, data, 0, (3, 1)) != key(recipe, data, 1, (1, 3))
    )
