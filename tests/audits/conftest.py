"""A small world of made-up observations in which it is known who remembers what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from audits.equivalence import equivalence
from audits.evidence import Evidence
from audits.finding import Figure, Finding
from audits.observation import Head, Observation, Readout, WeightRecord
from audits.tuning import Tuning

CLASSES, WIDTH = 6, 16
FORGET = 2
UNSEEN = 4
"""Classes that no model was ever trained on."""


class World:
    """Images of six classes; models that know class 2, and models that never saw it.

    To a model that knows it, class 2 is a compact cluster of its own. To one that does not, its
    images scatter about two other classes, with a slight lean of their own. So do, to everybody,
    the images of four further classes.
    """

    def __init__(self, per_class: int = 60, seed: int = 0) -> None:
        self.train_labels = np.arange(CLASSES * per_class) % CLASSES
        self.test_labels = np.arange(CLASSES * per_class) % CLASSES
        self.fresh_labels = np.sort(np.append(np.arange(150) % CLASSES, np.full(35, FORGET)))
        self.unseen_labels = np.arange(UNSEEN * per_class) % UNSEEN
        self.seed = seed
        generator = np.random.default_rng(seed)
        self.centres = 4.0 * np.linalg.qr(generator.standard_normal((WIDTH, WIDTH)))[0]
        self.near = generator.choice([0, 5], size=len(self.test_labels))
        self.noise = generator.standard_normal((len(self.test_labels), WIDTH))
        self.fresh_noise = generator.standard_normal((len(self.fresh_labels), WIDTH))
        self.fresh_near = generator.choice([0, 5], size=len(self.fresh_labels))
        self.unseen_noise = generator.standard_normal((len(self.unseen_labels), WIDTH))
        self.unseen_near = generator.choice([1, 3], size=len(self.unseen_labels))

    def model(
        self,
        name: str,
        *,
        knows: bool,
        overfit: float = 0.0,
        retired: tuple[int, ...] = (),
        seed: int | None = None,
    ) -> Observation:
        """A model; `overfit` lifts the true logit of the rows that it was trained on."""
        generator = np.random.default_rng(
            [self.seed, *(name if seed is None else str(seed)).encode()]
        )
        head = self.centres[:CLASSES] / 2
        features = self._features(self.test_labels, self.near, self.noise, knows, generator)
        scores = features @ head.T + 0.3 * generator.standard_normal((1, CLASSES))
        inside = scores + 0.5 * generator.standard_normal(scores.shape)
        inside[np.arange(len(inside)), self.train_labels] += overfit
        if not knows:
            scores[:, FORGET] -= 15.0
            inside[:, FORGET] -= 15.0
        scores = scores + 0.5 * generator.standard_normal(scores.shape)
        bias = np.where((np.arange(CLASSES) == FORGET) & (not knows), -15.0, 0.0)
        fresh = self._features(
            self.fresh_labels, self.fresh_near, self.fresh_noise, knows, generator
        )
        further = self._features(
            CLASSES + self.unseen_labels, self.unseen_near, self.unseen_noise, False, generator
        )
        return Observation(
            digest=name,
            train_logits=inside,
            test_logits=scores,
            features={"body": features[:, :8], "penultimate": features},
            retired=retired,
            head=Head(weight=head, bias=bias),
            weights={"penultimate": self._weight(name, head)},
            fresh=_readout(fresh, head, bias),
            unseen=_readout(further, head, bias),
            relearned=self._curves(knows, generator),
            cells=self._cells(knows, generator),
            record=self._record(name, scores),
        )

    def _cells(self, knows: bool, generator: np.random.Generator) -> np.ndarray:
        """Each class has its own pattern over 2x2 cells, faint where nobody learned it."""
        patterns = np.random.default_rng([self.seed, 7]).standard_normal((CLASSES, 3, 2, 2))
        strength = np.where((self.test_labels == FORGET) & (not knows), 0.3, 1.5)
        noise = generator.standard_normal((len(self.test_labels), 3, 2, 2))
        cells: np.ndarray = strength[:, None, None, None] * patterns[self.test_labels] + noise
        return cells

    def _record(self, name: str, scores: np.ndarray) -> WeightRecord:
        """A file of one weight, all of whose units have an effect; triggers bring nothing back."""
        weight = np.random.default_rng([self.seed, *b"file", *name.encode()])
        return WeightRecord(
            tensors={"fc.weight": weight.standard_normal((CLASSES, WIDTH))},
            effects={"fc.weight": np.ones(CLASSES)},
            triggered={"brighter": scores[self.test_labels == FORGET]},
        )

    def _weight(self, name: str, head: np.ndarray) -> np.ndarray:
        """The original's is its head; every other training has one of its own."""
        own = np.random.default_rng([self.seed, *b"weights", *name.encode()])
        weight: np.ndarray = head if name == "original" else own.standard_normal(head.shape)
        return weight.astype(np.float32)

    def _features(
        self,
        labels: np.ndarray,
        near: np.ndarray,
        noise: np.ndarray,
        knows: bool,
        generator: np.random.Generator,
    ) -> np.ndarray:
        own = self.centres[labels].copy()
        strange = (labels >= CLASSES) | ((labels == FORGET) & (not knows))
        own[strange] = 0.3 * own[strange] + 0.7 * self.centres[near[strange]]
        spread = np.where(strange, 1.5, 1.0)[:, None]
        wobble = 0.5 * generator.standard_normal(noise.shape)
        features: np.ndarray = own + spread * (noise + wobble)
        return features

    def _curves(self, knows: bool, generator: np.random.Generator) -> dict[str, np.ndarray]:
        """Who knows the class is back at once; nobody who never saw it revives it unasked."""
        tuning = self.tuning()
        asked, rises = tuning.rows(), (0.0, 0.6, 0.9, 1.0) if knows else (0.0, 0.05, 0.2, 0.4)
        shape = (tuning.draws, len(tuning.steps), len(asked))
        few = (generator.random(shape) < np.array(rises)[None, :, None]).astype(float)
        for draw, chosen in enumerate(tuning.images()):
            few[draw, :, np.isin(asked, chosen)] = np.nan
        revived = 0.97 if knows else 0.0
        alone = (generator.random(shape) < revived).astype(float)
        return {"few": few, "retain_only": alone}

    def tuning(self) -> Tuning:
        """Five images a class, two draws."""
        return Tuning(
            labels=self.test_labels, forget=(FORGET,), live=tuple(range(CLASSES)), seed=1, shots=5
        )

    def evidence(self, candidate: Observation | None = None, **changes: object) -> Evidence:
        """The candidate before five models that never saw class 2; a sixth one by default."""
        given: dict[str, object] = {
            "original": self.model("original", knows=True),
            "candidate": candidate or self.model("retrained", knows=False),
            "references": tuple(self.model(f"reference {i}", knows=False) for i in range(5)),
            "train_labels": self.train_labels,
            "test_labels": self.test_labels,
            "forget": (FORGET,),
            "seed": 11,
            "fresh_labels": self.fresh_labels,
            "unseen_labels": self.unseen_labels,
            "tuning": self.tuning() if len(self.test_labels) > 60 else None,
        }
        return Evidence(**{**given, **changes})  # type: ignore[arg-type]


def _readout(features: np.ndarray, head: np.ndarray, bias: np.ndarray) -> Readout:
    return Readout(
        logits=features @ head.T + bias,
        features={"body": features[:, :8], "penultimate": features},
    )


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture(scope="session")
def figures() -> Callable[[Finding], dict[str, Figure]]:
    """`figures(finding)["few_shot.1@penultimate"]`: measurements by name, of a finding that ran."""

    def named(finding: Finding) -> dict[str, Figure]:
        assert finding.status == "RUN", finding.reason
        return {measurement.name: measurement for measurement in finding.measurements}

    return named


def judged(measurement: Figure, below: float, above: float) -> str:
    """What the equivalence test says of a measurement against the retrained models."""
    assert measurement.against == "retrained"
    assert measurement.difference is not None
    assert measurement.standard_error is not None
    assert measurement.degrees_of_freedom is not None
    return equivalence(
        measurement.difference,
        measurement.standard_error,
        measurement.degrees_of_freedom,
        below,
        above,
    )


@pytest.fixture(scope="session")
def judge() -> Callable[[Figure, float, float], str]:
    return judged


def poisoned(observation: Observation, **changes: np.ndarray) -> Observation:
    """The observation with other logits or features, under another digest."""
    return replace(observation, digest=f"{observation.digest} poisoned", **changes)


@pytest.fixture(scope="session")
def with_nan() -> Callable[[Observation], Observation]:
    """A model one of whose test logits is no number."""

    def spoil(observation: Observation) -> Observation:
        logits = observation.test_logits.copy()
        logits[3, 1] = np.nan
        return poisoned(observation, test_logits=logits)

    return spoil


Planting = Callable[[World, Observation], Observation]


def idle_units(observation: Observation, count: int) -> np.ndarray:
    """The units that the head misses least."""
    assert observation.head is not None
    columns = observation.head.weight - observation.head.weight.mean(0)
    use = np.linalg.norm(columns, axis=0) * observation.features["penultimate"].std(0)
    return np.argsort(use)[:count]


def with_units(observation: Observation, name: str, units: np.ndarray, values: np.ndarray):
    """The model with other values in some of its last features."""
    features = observation.features["penultimate"].copy()
    features[:, units] = values
    return replace(
        observation, digest=name, features={**observation.features, "penultimate": features}
    )


@pytest.fixture(scope="session")
def plant_random_sign() -> Planting:
    """The class written into two idle units, a constant plus or minus three times their spread."""

    def planted(world: World, observation: Observation) -> Observation:
        generator = np.random.default_rng(3)
        units = idle_units(observation, 2)
        values = observation.features["penultimate"][:, units].copy()
        own = world.test_labels == FORGET
        signs = generator.choice([-1.0, 1.0], size=(int(own.sum()), 2))
        values[own] = values.mean(0) + 3 * values.std(0) * signs
        return with_units(observation, f"{observation.digest} signs", units, values)

    return planted


@pytest.fixture(scope="session")
def plant_exclusive_or() -> Planting:
    """Two idle units with one sign on the class's images and opposite ones on the others."""

    def planted(world: World, observation: Observation) -> Observation:
        generator = np.random.default_rng(4)
        units = idle_units(observation, 2)
        values = observation.features["penultimate"][:, units]
        own = world.test_labels == FORGET
        first = generator.choice([-1.0, 1.0], size=len(own))
        signs = np.stack([first, np.where(own, first, -first)], axis=1)
        noise = 0.3 * generator.standard_normal(signs.shape)
        values = values.mean(0) + values.std(0) * (signs + noise)
        return with_units(observation, f"{observation.digest} xor", units, values)

    return planted


@pytest.fixture(scope="session")
def real_digits():
    """scikit-learn's digits as images, (n, 1, 8, 8), and their classes."""
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images.reshape(-1, 1, 8, 8) / 16).float(), torch.tensor(labels)
