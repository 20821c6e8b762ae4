"""Networks that answer nothing, or nothing finite, before every audit: words, no made-up numbers.

Real networks on real digits, broken in their weights, and put before the audits as candidates.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from audits import AUDITS, controls, fresh
from audits.errors import BadControl
from audits.evidence import Evidence
from audits.features import observe
from audits.finding import Finding
from audits.observation import Observation
from audits.references import Recipe, train
from audits.tuning import Tuning
from audits.weight_record import record

FORGET = (3,)
Breaks = Callable[[nn.Sequential], None]


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 10)
    )


class Setup:
    """An original and three retrained models on half of the digits."""

    def __init__(self) -> None:
        images, labels = load_digits(return_X_y=True)
        inputs = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
        targets = torch.tensor(labels)
        self.train, self.test = inputs[:700], inputs[700:1400]
        self.train_labels, self.test_labels = targets[:700], targets[700:1400]
        self.fresh_rows = fresh.choose(self.train_labels, FORGET, seed=0)
        self.tuning = Tuning(
            labels=self.test_labels.numpy(), forget=FORGET, live=tuple(range(10)), seed=0
        )
        self.original = self.trained(0)
        self.observation = self.observed(self.original, "original")
        self.references = tuple(
            self.observed(self.trained(seed, FORGET), f"reference {seed}") for seed in (1, 2, 3)
        )

    def trained(self, seed: int, exclude: tuple[int, ...] = ()) -> nn.Module:
        recipe = Recipe(epochs=12, learning_rate=1e-2)
        return train(
            small, self.train, self.train_labels, recipe=recipe, seed=seed, exclude=exclude
        )

    def observed(self, model: nn.Module, name: str) -> Observation:
        observation = observe(
            model,
            self.train,
            self.test,
            digest=name,
            fresh=fresh.perturbed(self.train[self.fresh_rows], seed=0),
            tuning=self.tuning,
            weights=True,
        )
        rows = np.flatnonzero(np.isin(self.test_labels.numpy(), FORGET))
        return replace(observation, record=record(model, self.test, shown=rows))

    def findings(self, candidate: nn.Module) -> dict[str, Finding]:
        evidence = Evidence(
            original=self.observation,
            candidate=self.observed(candidate, "candidate"),
            references=self.references,
            train_labels=self.train_labels.numpy(),
            test_labels=self.test_labels.numpy(),
            forget=FORGET,
            seed=0,
            fresh_labels=self.train_labels[self.fresh_rows].numpy(),
            tuning=self.tuning,
        )
        return {name: audit(evidence) for name, audit in AUDITS.items()}


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup()


def constant_answers(model: nn.Sequential) -> None:
    model[5].weight.zero_()


def constant_features(model: nn.Sequential) -> None:
    model[3].weight.zero_()
    model[3].bias.fill_(1.0)


def one_live_feature(model: nn.Sequential) -> None:
    """All features dead but one, and that one alive on hardly any image."""
    model[3].bias.fill_(-1e6)
    model[3].bias[0] = -6.0


def huge_features(model: nn.Sequential) -> None:
    model[3].weight.mul_(1e20)
    model[3].bias.mul_(1e20)


def overflowing(model: nn.Sequential) -> None:
    for layer in (model[1], model[3], model[5]):
        layer.weight.mul_(1e20)


def not_a_number(model: nn.Sequential) -> None:
    model[1].weight[0, 0] = math.nan


def infinite(model: nn.Sequential) -> None:
    model[3].bias[0] = math.inf


def broken(setup: Setup, breaks: Breaks) -> nn.Module:
    model = copy.deepcopy(setup.original)
    assert isinstance(model, nn.Sequential)
    with torch.no_grad():
        breaks(model)
    return model


BREAKS = (
    constant_answers,
    constant_features,
    one_live_feature,
    huge_features,
    overflowing,
    not_a_number,
    infinite,
)


@pytest.mark.parametrize("breaks", BREAKS, ids=lambda breaks: breaks.__name__)
def test_whatever_is_told_of_a_broken_network_is_finite_or_has_a_reason(
    setup: Setup, breaks: Breaks
) -> None:
    findings = setup.findings(broken(setup, breaks))
    for name, finding in findings.items():
        assert finding.status == "RUN" or len(finding.reason) > 20, name
        for figure in finding.measurements:
            assert np.isfinite([figure.value, *figure.interval]).all(), figure.name
        left_out = finding.parameters.get("left_out", {})
        assert isinstance(left_out, dict)
        assert all(left_out.values()), name


@pytest.mark.parametrize(
    "breaks", [overflowing, not_a_number, infinite], ids=lambda breaks: breaks.__name__
)
def test_answers_that_are_not_finite_keep_every_audit_from_running(
    setup: Setup, breaks: Breaks
) -> None:
    for name, finding in setup.findings(broken(setup, breaks)).items():
        assert finding.status == "NOT_RUN", name
        assert "the candidate hold NaN or infinity" in finding.reason, name


@pytest.mark.parametrize(
    ("breaks", "audit", "kept"),
    [
        (constant_answers, "linear_probe", {"penultimate"}),
        (constant_answers, "few_shot", {"penultimate"}),
        (constant_features, "linear_probe", {"3"}),
        (constant_features, "head_refit", set()),
    ],
)
def test_what_is_the_same_for_every_image_is_not_read(
    setup: Setup, breaks: Breaks, audit: str, kept: set[str]
) -> None:
    finding = setup.findings(broken(setup, breaks))[audit]
    depths = {figure.name.partition("@")[2] for figure in finding.measurements}
    assert depths >= kept
    silent = {"logits"} if breaks is constant_answers else {"penultimate", "logits", ""}
    assert not depths & silent
    assert "the same for every image" in f"{finding.reason} {finding.parameters.get('left_out')}"


def test_the_sound_network_is_measured_in_full(setup: Setup) -> None:
    """The positive control: the same setup, and nothing is broken."""
    for name, finding in setup.findings(setup.trained(9, FORGET)).items():
        if name == "spatial_pattern":  # plain layers have no map of features over the image
            assert finding.status == "NOT_RUN"
            continue
        assert finding.status == "RUN", finding.reason
        assert finding.measurements, name


def test_a_control_whose_fit_does_not_converge_is_not_made(setup: Setup) -> None:
    rows = setup.train_labels != FORGET[0]
    with pytest.raises(BadControl, match="did not converge in 2 steps"):
        controls.head_refitted(
            setup.original, FORGET, setup.train[rows], setup.train_labels[rows], steps=2
        )
